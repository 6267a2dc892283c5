package lambdalocal_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// ask invokes without asking for the log, so that the answer need not wait for the invocation's end.
func (m *machine) ask(o order) *lambda.InvokeOutput {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	out, err := m.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("web"), Payload: payload(o)})
	require.NoError(m.t, err)
	require.Empty(m.t, aws.ToString(out.FunctionError))
	return out
}

func (m *machine) release() {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(m.record+".release", nil, 0o600))
}

func (m *machine) states() (states []lambdalocal.State) {
	for _, e := range m.Environments() {
		states = append(states, e.State)
	}
	return states
}

func TestTheAnswerDoesNotWaitForExtensionsThatWorkOn(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", withExtension("busy"))
	require.JSONEq(t, `{"do":"","text":"a"}`, string(m.ask(order{Text: "a"}).Payload))
	require.Equal(t, []lambdalocal.State{lambdalocal.StateBusy}, m.states(), "the environment is busy until its extension is done")
	m.ask(order{})
	require.Equal(t, 2, m.Counters("web").Cold, "and so the next invocation needs another")
	m.release()
	m.eventually("both environments frozen", func() bool {
		states := m.states()
		return len(states) == 2 && states[0] == lambdalocal.StateFrozen && states[1] == lambdalocal.StateFrozen
	})
	require.Equal(t, 2, m.Counters("web").Outcomes[lambdalocal.Succeeded])
}

func TestTheLogWaitsForTheEndOfTheInvocation(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", withExtension("busy"))
	got := make(chan string, 1)
	go func() { got <- logOf(t, m.invoke(order{})) }()
	m.eventually("a busy environment", func() bool {
		states := m.states()
		return len(states) == 1 && states[0] == lambdalocal.StateBusy
	})
	select {
	case log := <-got:
		t.Fatal("the log came before the invocation's end: ", log)
	case <-time.After(200 * time.Millisecond): // as long as an answer would take many times over
	}
	m.release()
	require.Contains(t, <-got, "REPORT RequestId: ")
}

func TestWorkAfterTheAnswerThatTakesTooLongDoesNotTakeTheAnswerBack(t *testing.T) {
	t.Parallel()
	for name, invoke := range map[string]func(*machine) *lambda.InvokeOutput{
		"without the log": func(m *machine) *lambda.InvokeOutput { return m.ask(order{Do: "linger", Text: "a"}) },
		"with the log":    func(m *machine) *lambda.InvokeOutput { return m.invoke(order{Do: "linger", Text: "a"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := run(t, "runtime", func(f *lambdalocal.Function) { f.Timeout = time.Second })
			out := invoke(m)
			require.Empty(t, aws.ToString(out.FunctionError))
			require.JSONEq(t, `{"do":"linger","text":"a"}`, string(out.Payload))
			m.eventually("a timeout in the books", func() bool { return m.Counters("web").Outcomes[lambdalocal.TimedOut] == 1 })
			if out.LogResult != nil {
				require.Contains(t, logOf(t, out), "Status: timeout")
			}
			m.release()
			require.JSONEq(t, `{"do":""}`, string(m.ask(order{}).Payload), "the environment starts anew")
		})
	}
}
