package lambdalocal_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// impatient makes the delays between an event's tries short.
func impatient(f *lambdalocal.Function) {
	f.Events.RetryDelay, f.Events.ThrottleDelay = 5*time.Millisecond, 5*time.Millisecond
}

func (m *machine) send(o order) {
	m.t.Helper()
	out, err := m.client.Invoke(context.Background(), &lambda.InvokeInput{
		FunctionName: aws.String("web"), Payload: payload(o), InvocationType: types.InvocationTypeEvent,
	})
	require.NoError(m.t, err)
	require.EqualValues(m.t, http.StatusAccepted, out.StatusCode)
	require.Empty(m.t, out.Payload)
}

func (m *machine) events() lambdalocal.EventCounters { return m.Counters("web").Events }

// reserve changes the reservation by the API; nil removes it.
func (m *machine) reserve(n *int32) {
	m.t.Helper()
	var err error
	if n == nil {
		_, err = m.client.DeleteFunctionConcurrency(context.Background(), &lambda.DeleteFunctionConcurrencyInput{FunctionName: aws.String("web")})
	} else {
		_, err = m.client.PutFunctionConcurrency(context.Background(),
			&lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("web"), ReservedConcurrentExecutions: n})
	}
	require.NoError(m.t, err)
}

func TestAnEventIsAcceptedAtOnceAndDelivered(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	m.send(order{Do: "sleep", Ms: 50})
	m.eventually("delivered", func() bool { return m.events().Succeeded == 1 })
	require.Equal(t, lambdalocal.EventCounters{Accepted: 1, Succeeded: 1, Dropped: map[lambdalocal.Drop]int{}}, m.events())
	m.eventually("counted", func() bool { return m.Counters("web").Outcomes[lambdalocal.Succeeded] == 1 }) // after the answer has left
}

// The client's context is for invocations whose caller waits.
func TestAnEventHasNoClientContext(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	invoke := func(kind types.InvocationType) {
		_, err := m.client.Invoke(context.Background(), &lambda.InvokeInput{
			FunctionName: aws.String("web"), InvocationType: kind, Payload: payload(order{Do: "record headers"}), ClientContext: aws.String("e30="),
		})
		require.NoError(t, err)
	}
	invoke(types.InvocationTypeRequestResponse)
	require.Contains(t, m.recorded(), "Lambda-Runtime-Client-Context")
	invoke(types.InvocationTypeEvent)
	m.eventually("delivered", func() bool { return m.events().Succeeded == 1 })
	require.Equal(t, 1, strings.Count(m.recorded(), "Lambda-Runtime-Client-Context"))
	require.Equal(t, 2, strings.Count(m.recorded(), "Lambda-Runtime-Aws-Request-Id"))
}

func TestAnEventIsTriedThreeTimesThenDropped(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", impatient)
	m.send(order{Do: "fail"})
	m.eventually("dropped", func() bool { return m.events().Dropped[lambdalocal.DropRetries] == 1 })
	m.eventually("counted", func() bool { return m.Counters("web").Outcomes[lambdalocal.Errored] == 3 })
	require.Equal(t, 2, m.events().Retried)
	require.Zero(t, m.events().Queued)
	ids := strings.Fields(m.recorded())
	require.Len(t, ids, 3)
	require.Equal(t, []string{ids[0], ids[0]}, ids[1:], "a retry keeps the request id")
}

func TestAThrottledEventWaits(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", impatient)
	m.throttle()
	m.send(order{})
	m.eventually("throttled more often than an error is retried", func() bool { return m.Faults()[0].Struck > 3 })
	require.Equal(t, 1, m.events().Queued)
	require.NoError(t, m.SetFaults())
	m.eventually("delivered", func() bool { return m.events().Succeeded == 1 })
}

// throttle refuses all invocations until the faults are changed.
func (m *machine) throttle() {
	m.t.Helper()
	require.NoError(m.t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultThrottle}))
}

// No concurrency switches a function off. Lambda drops its events then, and does not try again.
func TestEventsOfAFunctionThatIsSwitchedOffAreDropped(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	m.reserve(aws.Int32(0))
	m.send(order{})
	m.eventually("dropped", func() bool { return m.events().Dropped[lambdalocal.DropReserved] == 1 })
	require.Zero(t, m.events().Retried)
	m.reserve(nil)
	m.send(order{})
	m.eventually("delivered", func() bool { return m.events().Succeeded == 1 })
}

func TestAnEventThatIsTooOldIsDropped(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		f.Events.MaxAge = 100 * time.Millisecond
		impatient(f)
	})
	m.throttle()
	m.send(order{})
	m.eventually("dropped", func() bool { return m.events().Dropped[lambdalocal.DropAge] == 1 })
	require.Zero(t, m.Counters("web").Started)
}

func TestAnEventOfAnAliasThatIsDeletedIsDropped(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		f.Aliases = []lambdalocal.Alias{{Name: "live", Version: "$LATEST"}}
		impatient(f)
	})
	m.throttle()
	ctx, web, live := context.Background(), aws.String("web"), aws.String("live")
	_, err := m.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: web, Qualifier: live, InvocationType: types.InvocationTypeEvent})
	require.NoError(t, err)
	m.eventually("throttled", func() bool { return m.Faults()[0].Struck > 0 })
	_, err = m.client.DeleteAlias(ctx, &lambda.DeleteAliasInput{FunctionName: web, Name: live})
	require.NoError(t, err)
	m.eventually("dropped", func() bool { return m.events().Dropped[lambdalocal.DropGone] == 1 })
	require.NoError(t, m.SetFaults())
	require.Nil(t, m.invoke(order{}).FunctionError)
}

func TestEventsEndWithTheServer(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	m.throttle()
	m.send(order{})
	m.eventually("throttled", func() bool { return m.Faults()[0].Struck == 1 })
	m.stop()
	require.Equal(t, 1, m.events().Dropped[lambdalocal.DropShutdown])
	require.Zero(t, m.events().Queued)
}

func TestAnEventMayHaveAMebibyte(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	send := func(size int) error {
		_, err := m.client.Invoke(context.Background(), &lambda.InvokeInput{
			FunctionName: aws.String("web"), InvocationType: types.InvocationTypeEvent,
			Payload: []byte(`{"text":"` + strings.Repeat("x", size-len(`{"text":""}`)) + `"}`),
		})
		return err
	}
	require.NoError(t, send(1<<20))
	var tooLarge *types.RequestTooLargeException
	require.ErrorAs(t, send(1<<20+1), &tooLarge)
}
