package lambdalocal_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// withExtension adds the test binary as an external extension.
func withExtension(role string) func(*lambdalocal.Function) {
	return func(f *lambdalocal.Function) {
		f.Extensions = []lambdalocal.Extension{lambdalocal.Program(f.Command[0], role)}
	}
}

func (m *machine) functionError(o order) (kind, message, log string) {
	m.t.Helper()
	out := m.invoke(o)
	require.Equal(m.t, "Unhandled", aws.ToString(out.FunctionError))
	var body struct{ ErrorType, ErrorMessage string }
	require.NoError(m.t, json.Unmarshal(out.Payload, &body))
	return body.ErrorType, body.ErrorMessage, logOf(m.t, out)
}

func TestAnErrorAnswerKeepsTheEnvironment(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	kind, message, log := m.functionError(order{Do: "error", Text: "no luck"})
	require.Equal(t, "MyError no luck", kind+" "+message)
	require.NotContains(t, log, "Status:")
	m.invoke(order{})
	require.Equal(t, 1, m.Counters("web").Cold)
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.Errored])
}

func TestAnAnswerThatIsTooLargeIsAnError(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	kind, _, _ := m.functionError(order{Do: "large"})
	require.Equal(t, "Function.ResponseSizeTooLarge", kind)
}

func TestAfterACrashTheNextInvocationStartsTheProcessesAnew(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	kind, message, log := m.functionError(order{Do: "exit", Ms: 1})
	require.Equal(t, "Runtime.ExitError", kind)
	require.Regexp(t, `^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 1$`, message)
	require.Contains(t, log, "Status: error\tError Type: Runtime.ExitError")
	require.Contains(t, log, "Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n")
	before := m.Environments()[0]
	require.Empty(t, before.PIDs)
	out := m.invoke(order{})
	require.NotContains(t, logOf(t, out), "Init Duration", "the init is part of the invocation's duration")
	require.Equal(t, before.ID, m.Environments()[0].ID, "the environment is the same")
	require.Len(t, m.Environments()[0].PIDs, 1)
	require.Equal(t, 1, m.Counters("web").Cold)
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.Crashed])
}

func TestATimeoutKillsTheProcesses(t *testing.T) {
	t.Parallel()
	m := run(t, "stubborn", func(f *lambdalocal.Function) { f.Timeout = time.Second })
	kind, message, log := m.functionError(order{Do: "hang"})
	require.Equal(t, "Sandbox.Timedout", kind)
	require.Contains(t, message, "Task timed out after 1.00 seconds")
	require.Contains(t, log, "Status: timeout")
	require.Equal(t, 1, m.Counters("web").Outcomes[lambdalocal.TimedOut])
	require.Regexp(t, `Duration: 1000.00 ms\tBilled Duration: 1[0-9]{3} ms`, log, "the init phase is billed too")
	require.Empty(t, processes(t, m.mark))
	m.invoke(order{})
}

func TestASlowInitIsTriedAgainInsideTheInvocation(t *testing.T) {
	t.Parallel()
	m := run(t, "late", func(f *lambdalocal.Function) { f.InitTimeout = 3 * time.Second })
	out := m.invoke(order{Do: "echo"})
	require.Nil(t, out.FunctionError)
	require.Regexp(t, `INIT_REPORT Init Duration: [0-9.]+ ms\tPhase: init\tStatus: timeout`, logOf(t, out))
	require.Equal(t, "init\ninit\n", m.recorded())
}

func TestAFailedInitIsTriedAgainAndThenTheAnswer(t *testing.T) {
	t.Parallel()
	m := run(t, "failing", nil)
	require.Nil(t, m.invoke(order{}).FunctionError)

	m = run(t, "failing", func(f *lambdalocal.Function) { f.Env["ALWAYS"] = "1" })
	kind, message, log := m.functionError(order{})
	require.Equal(t, "Runtime.NoHandler no handler", kind+" "+message)
	require.Contains(t, log, "Phase: init\tStatus: error\tError Type: Runtime.NoHandler")
	require.Contains(t, log, "Phase: invoke\tStatus: error\tError Type: Runtime.NoHandler")
}

func TestACommandThatExitsOrDoesNotExist(t *testing.T) {
	t.Parallel()
	m := run(t, "exiting", nil)
	kind, message, _ := m.functionError(order{})
	require.Equal(t, "Runtime.ExitError", kind)
	require.Contains(t, message, "exit status 3")

	m = run(t, "", func(f *lambdalocal.Function) { f.Command = []string{"./does-not-exist"} })
	kind, message, _ = m.functionError(order{})
	require.Equal(t, "Runtime.InvalidEntrypoint", kind)
	require.Contains(t, message, "does-not-exist")
}

func TestAnInitThatNeverEndsIsBoundByTheTimeout(t *testing.T) {
	t.Parallel()
	m := run(t, "silent", func(f *lambdalocal.Function) { f.InitTimeout, f.Timeout = 100*time.Millisecond, 300*time.Millisecond })
	kind, message, _ := m.functionError(order{})
	require.Equal(t, "Sandbox.Timedout", kind)
	require.Contains(t, message, "Task timed out after 0.30 seconds")
}

func TestAnExtensionMayBeTheRuntimeOfAPlainApp(t *testing.T) {
	t.Parallel()
	m := run(t, "app", withExtension("peer"))
	for range 3 {
		require.JSONEq(t, `{"do":"echo"}`, string(m.invoke(order{Do: "echo"}).Payload))
	}
	require.Len(t, m.Environments()[0].PIDs, 2)
	m.stop()
	require.Contains(t, m.recorded(), "SHUTDOWN spindown\n")
	require.Contains(t, m.recorded(), "SIGTERM\n")
}

func TestExtensionsGetEveryEvent(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", withExtension("extension"))
	m.invoke(order{})
	m.invoke(order{})
	require.Equal(t, "INVOKE\nINVOKE\n", m.recorded())
	m.stop()
	require.Equal(t, "INVOKE\nINVOKE\nSHUTDOWN spindown\n", m.recorded())
}

func TestExtensionsLearnOfATimeoutAndOfACrash(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { withExtension("extension")(f); f.Timeout = time.Second })
	m.functionError(order{Do: "hang"})
	m.eventually("timeout", func() bool { return strings.Contains(m.recorded(), "SHUTDOWN timeout\n") })
	m.functionError(order{Do: "exit", Ms: 1})
	m.eventually("failure", func() bool { return strings.Contains(m.recorded(), "SHUTDOWN failure\n") })
}

func TestAProcessCallsNoneOfTheAPIs(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.Processes = [][]string{{f.Command[0], "plain"}} })
	require.Nil(t, m.invoke(order{}).FunctionError)
	require.Len(t, m.Environments()[0].PIDs, 2)
}

func TestInitWaitsForExtensionsForAsLongAsItMayTake(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", withExtension("slow"))
	got := make(chan *lambda.InvokeOutput, 1)
	go func() { got <- m.invoke(order{}) }()
	m.eventually("the extension runs", func() bool { return strings.Contains(m.recorded(), "slow\n") })
	require.Len(t, m.Environments()[0].PIDs, 1, "the command starts when all extensions have registered")
	m.release()
	require.Nil(t, (<-got).FunctionError)
	require.Len(t, m.Environments()[0].PIDs, 2)
}

func TestAnExtensionThatNeverRegistersFailsInit(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		withExtension("plain")(f)
		f.InitTimeout, f.Timeout = 100*time.Millisecond, 300*time.Millisecond
	})
	kind, message, log := m.functionError(order{})
	require.Equal(t, "Sandbox.Timedout", kind)
	require.Contains(t, message, "Task timed out after 0.30 seconds")
	require.Contains(t, log, "Phase: init\tStatus: timeout")
}

func TestExternalExtensionsDoNotGetWhatLambdaWithholds(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", withExtension("variables"))
	var runtime, extension map[string]string
	require.NoError(t, json.Unmarshal(m.invoke(order{Do: "environ"}).Payload, &runtime))
	written, _, _ := strings.Cut(m.recorded(), "\n")
	require.NoError(t, json.Unmarshal([]byte(written), &extension))
	for _, name := range []string{
		"_HANDLER", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_XRAY_CONTEXT_MISSING", "AWS_XRAY_DAEMON_ADDRESS",
		"LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_PORT",
	} {
		require.Contains(t, runtime, name)
		require.NotContains(t, extension, name)
	}
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "PORT"} {
		require.NotEmpty(t, runtime[name], name)
		require.NotEmpty(t, extension[name], name)
	}
}

func TestAnInterpretedExtensionHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		f.Extensions = []lambdalocal.Extension{{Name: "watcher", Command: []string{f.Command[0], "watcher"}}}
	})
	require.Nil(t, m.invoke(order{}).FunctionError)
	require.Equal(t, "INVOKE\n", m.recorded())
}

func TestAnExtensionThatCrashesEndsTheInvocation(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", withExtension("exiting"))
	kind, message, _ := m.functionError(order{})
	require.Equal(t, "Extension.Crash", kind)
	require.Contains(t, message, "exit status 3")
}

func TestIdleEnvironmentsExpire(t *testing.T) {
	t.Parallel()
	m := run(t, "app", func(f *lambdalocal.Function) {
		withExtension("peer")(f)
		f.IdleExpiry = lambdalocal.Fixed(50 * time.Millisecond)
	})
	m.invoke(order{})
	m.eventually("expired", func() bool { return len(m.Environments()) == 0 })
	require.Contains(t, m.recorded(), "SHUTDOWN spindown\n")
	m.invoke(order{})
	require.Equal(t, 2, m.Counters("web").Cold)
}

func TestKillOfABusyAndOfAFrozenEnvironment(t *testing.T) {
	t.Parallel()
	m := run(t, "app", withExtension("peer"))
	ended := make(chan string, 1)
	go func() { kind, _, _ := m.functionError(order{Do: "hang"}); ended <- kind }()
	m.eventually("busy", func() bool { return len(m.Environments()) == 1 && m.Environments()[0].State == lambdalocal.StateBusy })
	require.True(t, m.Kill(m.Environments()[0].ID))
	require.Equal(t, "Runtime.ExitError", <-ended)

	m.invoke(order{})
	m.eventually("frozen alone", func() bool { return len(m.Environments()) == 1 && m.Environments()[0].State == lambdalocal.StateFrozen })
	require.True(t, m.Kill(m.Environments()[0].ID))
	require.Nil(t, m.invoke(order{}).FunctionError)
	require.Equal(t, 3, m.Counters("web").Cold)
	require.False(t, m.Kill("nobody"))
}

func TestAnInvocationMayAnswerDuringAShutdown(t *testing.T) {
	t.Parallel()
	m := run(t, "polite", nil)
	ended := make(chan string, 1)
	go func() {
		out, err := m.try(order{Do: "drain"})
		if err != nil {
			ended <- err.Error()
			return
		}
		ended <- string(out.Payload)
	}()
	m.eventually("invoked", func() bool { return m.recorded() == "up\n" })
	require.True(t, m.Retire(m.Environments()[0].ID))
	require.JSONEq(t, `{"do":"drain"}`, <-ended)
	m.eventually("gone", func() bool { return len(m.Environments()) == 0 })
}

func TestTheColdStartDelayIsNotBilled(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.ColdStartDelay = lambdalocal.Fixed(700 * time.Millisecond) })
	began := time.Now()
	m.invoke(order{})
	took := time.Since(began)
	require.GreaterOrEqual(t, took, 700*time.Millisecond)
	require.LessOrEqual(t, m.Counters("web").BilledMs, int((took-700*time.Millisecond)/time.Millisecond)+1)
}

func TestConcurrentInvocationsHaveEnvironmentsOfTheirOwn(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	var all sync.WaitGroup
	var mu sync.Mutex
	ports := map[string]bool{}
	for range 5 {
		all.Go(func() {
			out, err := m.try(order{Do: "sleep", Ms: 1})
			require.NoError(t, err)
			require.Nil(t, out.FunctionError)
		})
	}
	all.Wait()
	require.Equal(t, 5, m.Counters("web").Ended)
	for range 5 {
		all.Go(func() {
			out, err := m.try(order{Do: "environ"})
			var vars map[string]string
			if err == nil && json.Unmarshal(out.Payload, &vars) == nil {
				mu.Lock()
				defer mu.Unlock()
				ports[vars["PORT"]] = true
			}
		})
	}
	all.Wait()
	require.NotEmpty(t, ports)
	require.NotContains(t, ports, "")
}

func TestWhatAFunctionStartsEndsWithItsEnvironment(t *testing.T) {
	t.Parallel()
	m := run(t, "stubborn", nil)
	m.invoke(order{Do: "spawn"})
	require.Len(t, processes(t, m.mark), 2)
	m.stop() // checks that neither is left, though neither heeds SIGTERM or is asked to
}

func TestNothingOutlivesAServerThatIsKilled(t *testing.T) {
	t.Parallel()
	mark := t.Name() + time.Now().Format("150405.000000")
	cmd := exec.Command(os.Args[0], "server")
	cmd.Env = append(os.Environ(), marker+"=server", "CHILD_MARKER="+mark)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	m := &machine{t: t}
	m.client = clientOf(t, "http://"+strings.TrimSpace(address))
	m.invoke(order{})
	require.Len(t, processes(t, mark), 2)

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	m.eventually("all killed, frozen as they were", func() bool { return len(processes(t, mark)) == 0 })
}
