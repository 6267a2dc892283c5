package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// collector is a subscriber of the Telemetry API.
type collector struct {
	*httptest.Server
	events chan telemetryEvent
}

type telemetryEvent struct {
	Type   string
	Record json.RawMessage
}

func collect(t *testing.T) *collector {
	c := &collector{events: make(chan telemetryEvent, 1000)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var batch []telemetryEvent
		if json.NewDecoder(r.Body).Decode(&batch) == nil {
			for _, e := range batch {
				c.events <- e
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) subscription(types string) string {
	u, _ := url.Parse(c.URL)
	return fmt.Sprintf(`{"schemaVersion":"2022-12-13","types":%s,"buffering":{"timeoutMs":25},
		"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:%s"}}`, types, u.Port())
}

// take waits for the next events and blanks the numbers, which differ from run to run.
func (c *collector) take(t *testing.T, n int) (events []string) {
	t.Helper()
	for range n {
		select {
		case e := <-c.events:
			text := numbers.ReplaceAllString(e.Type+" "+string(e.Record), `$1#`)
			events = append(events, instants.ReplaceAllString(text, `"#"`))
		case <-time.After(soon):
			require.Failf(t, "too few events", "%v", events)
		}
	}
	return events
}

var (
	numbers  = regexp.MustCompile(`("(?:durationMs|maxMemoryUsedMB|billedDurationMs|initDurationMs)":)[0-9.]+`)
	instants = regexp.MustCompile(`"[0-9]{4}-[0-9-]+T[0-9:.]+Z"`)
)

func TestTelemetryOfAWholeLife(t *testing.T) {
	c := collect(t)
	s := newStage(t, func(cfg *Config) {
		withExternal(cfg)
		cfg.Command = []string{"sh", "-c", "echo hello; exec sleep 1000"}
	})
	initialized := s.begin()
	id := s.register("sleep", `["INVOKE","SHUTDOWN"]`)
	wrong := s.call("PUT", telemetryPath, id, `{}`)
	require.Equal(t, http.StatusBadRequest, wrong.code)
	require.Equal(t, "ValidationError", wrong.errorBody(t).Type)
	r := s.call("PUT", telemetryPath, id, c.subscription(`["platform","function","extension"]`))
	require.Equal(t, http.StatusOK, r.code)
	require.Equal(t, "\"OK\"\n", r.body)
	other := s.call("PUT", "/2020-08-15/logs", id, strings.Replace(c.subscription(`["platform"]`), "2022-12-13", "2021-03-18", 1))
	require.Equal(t, "403 Logs.SubscriptionClosed", fmt.Sprint(other.code, " ", other.errorBody(t).Type))
	require.ElementsMatch(t, []string{
		`platform.initStart {"initializationType":"on-demand","phase":"init","functionName":"web","functionVersion":"$LATEST","instanceId":"0123","instanceMaxMemory":134217728}`,
		`platform.telemetrySubscription {"name":"sleep","state":"Subscribed","types":["platform","function","extension"]}`,
		`function "hello"`,
	}, c.take(t, 3))

	event := s.async("GET", extensionPath+"event/next", id)
	next := s.next()
	<-initialized
	require.Equal(t, []string{
		`platform.initRuntimeDone {"initializationType":"on-demand","phase":"init","status":"success"}`,
		`platform.extension {"events":["INVOKE","SHUTDOWN"],"name":"sleep","state":"Ready"}`,
		`platform.initReport {"initializationType":"on-demand","phase":"init","status":"success","metrics":{"durationMs":#}}`,
	}, c.take(t, 3))

	result := s.invoke(Invocation{Version: "3", TraceID: "Root=1"})
	<-event
	<-next
	s.call("POST", idPath+"response", nil, `"four"`)
	next = s.next()
	event = s.async("GET", extensionPath+"event/next", id)
	<-result
	require.Equal(t, []string{
		`platform.start {"requestId":"id-1","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"},"version":"3"}`,
		`platform.runtimeDone {"requestId":"id-1","status":"success","metrics":{"durationMs":#,"producedBytes":6},"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"},` +
			`"spans":[{"name":"responseLatency","start":"#","durationMs":#},{"name":"responseDuration","start":"#","durationMs":#},{"name":"runtimeOverhead","start":"#","durationMs":#}]}`,
		`platform.report {"requestId":"id-1","status":"success","metrics":{"billedDurationMs":#,"durationMs":#,"initDurationMs":#,"maxMemoryUsedMB":#,"memorySizeMB":128},"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"},` +
			`"spans":[{"name":"extensionOverhead","start":"#","durationMs":#}]}`,
	}, c.take(t, 3))

	result = s.invoke(Invocation{})
	<-event
	<-next
	s.current().children()[1].Group.Kill()
	require.Equal(t, Crashed, (<-result).Outcome)
	last := c.take(t, 3)
	require.Contains(t, last[1], `platform.runtimeDone {"requestId":"id-1","status":"error","errorType":"Runtime.ExitError"`)
	require.Contains(t, last[2], `platform.report {"requestId":"id-1","status":"error","errorType":"Runtime.ExitError"`)
}

// Extensions learn of the invocation whose own init has failed, as of any other, and in the order of AWS's runtime interface emulator.
func TestTelemetryOfAnInvocationThatNeverCameToTheRuntime(t *testing.T) {
	seen := collect(t)
	s := newStage(t, withExternal)
	initialized := s.begin()
	s.call("POST", initErrorPath, nil, "{}")
	<-initialized
	result := s.invoke(Invocation{TraceID: "Root=1"})
	s.eventuallyBoot("the extension runs", func(b *boot) bool { return len(b.processes) > 0 })
	id := s.register("sleep", `["INVOKE"]`)
	s.call("PUT", telemetryPath, id, seen.subscription(`["platform"]`))
	s.call("POST", initErrorPath, nil, "{}")
	require.Equal(t, InitFailed, (<-result).Outcome)
	require.Equal(t, []string{
		`platform.start {"requestId":"id-1","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"},"version":""}`,
		`platform.runtimeDone {"requestId":"id-1","status":"error","errorType":"Runtime.Unknown","metrics":{"durationMs":#,"producedBytes":0},"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}`,
	}, seen.take(t, 8)[5:7])
}

// An extension is told of an init that failed, and of why, before its process is killed.
func TestExtensionsLearnOfAFailedInit(t *testing.T) {
	for name, c := range map[string]struct {
		limit        time.Duration
		fail         func(*stage)
		done, reason string
	}{
		"error": {soon, func(s *stage) { s.call("POST", initErrorPath, nil, "{}") }, `"status":"error","errorType":"Runtime.Unknown"`, "failure"},
		"slow":  {3 * time.Second, func(*stage) {}, `"status":"timeout"`, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := collect(t)
			s := newStage(t, func(cfg *Config) {
				withExternal(cfg)
				cfg.InitLimit = c.limit
			})
			initialized := s.begin()
			id := s.register("sleep", `["SHUTDOWN"]`)
			s.call("PUT", telemetryPath, id, seen.subscription(`["platform"]`))
			event := s.async("GET", extensionPath+"event/next", id)
			s.eventuallyBoot("the extension waits", func(b *boot) bool { return b.extensions[0].idle() })
			c.fail(s)
			require.Regexp(t, `"eventType":"SHUTDOWN".*"shutdownReason":"`+c.reason+`"`, (<-event).body)
			s.current().children()[0].Group.Kill() // it has ended
			<-initialized
			require.Equal(t, []string{
				`platform.initRuntimeDone {"initializationType":"on-demand","phase":"init",` + c.done + `}`,
				`platform.extension {"events":["SHUTDOWN"],"name":"sleep","state":"Ready"}`,
				`platform.initReport {"initializationType":"on-demand","phase":"init",` + c.done + `,"metrics":{"durationMs":#}}`,
			}, seen.take(t, 5)[2:])
		})
	}
}

// An init for which no invocation waits may take longer.
func TestHowLongAnInitMayTake(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want time.Duration
	}{
		"on demand":      {Config{Timeout: time.Minute}, 10 * time.Second},
		"provisioned":    {Config{Timeout: time.Minute, Provisioned: true}, 130 * time.Second},
		"long":           {Config{Timeout: 10 * time.Minute, Provisioned: true}, 10 * time.Minute},
		"managed":        {Config{Timeout: 3 * time.Second, Concurrency: 1}, 130 * time.Second},
		"longer managed": {Config{Timeout: time.Hour, Concurrency: 1}, 15 * time.Minute},
	} {
		c.cfg.InitLimit = 10 * time.Second
		require.Equal(t, c.want, c.cfg.initLimit(), name)
	}
}

func TestTheBillOfAnInvocation(t *testing.T) {
	for name, c := range map[string]struct {
		e                    *Environment
		took, init, billed   time.Duration
		cold                 bool
		secondBilled, second time.Duration
	}{
		"cold":        {&Environment{cfg: &Config{}, cold: true, init: 1500 * time.Microsecond}, 2400 * time.Microsecond, 1500 * time.Microsecond, 4 * time.Millisecond, true, time.Millisecond, time.Nanosecond},
		"whole":       {&Environment{cfg: &Config{}, cold: true}, 3 * time.Millisecond, 0, 3 * time.Millisecond, true, 3 * time.Millisecond, 3 * time.Millisecond},
		"provisioned": {New(&Config{Provisioned: true, Log: quietLog()}, "x", 1), time.Millisecond + 1, 0, 2 * time.Millisecond, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := Result{Duration: c.took}
			c.e.bill(&r)
			require.Equal(t, Result{Duration: c.took, Init: c.init, Billed: c.billed, Cold: c.cold}, r)
			r = Result{Duration: c.second}
			c.e.bill(&r)
			require.Equal(t, Result{Duration: c.second, Billed: c.secondBilled}, r, "the init is billed once")
		})
	}
}

func TestTheLogOfAnInvocation(t *testing.T) {
	s, result := running(t, Invocation{Version: "$LATEST"}, nil)
	s.call("POST", idPath+"error", nil, `{}`)
	s.next()
	r := <-result
	require.Regexp(t, `^START RequestId: id-1 Version: \$LATEST
END RequestId: id-1
REPORT RequestId: id-1\tDuration: [0-9]+\.[0-9]{2} ms\tBilled Duration: [0-9]+ ms\tMemory Size: 128 MB\tMax Memory Used: [0-9]+ MB\tInit Duration: [0-9]+\.[0-9]{2} ms
$`, string(r.Tail))
	require.Positive(t, r.MaxMemory)
	require.Equal(t, (r.Duration+r.Init+time.Millisecond-1)/time.Millisecond, r.Billed/time.Millisecond)

	result = s.invoke(Invocation{})
	s.eventuallyBoot("running", func(b *boot) bool { return b.runtime == runtimeRunning })
	s.current().children()[0].Group.Kill()
	require.Regexp(t, `^START .*
RequestId: id-1 Error: Runtime exited with error: signal: killed
Runtime\.ExitError
END RequestId: id-1
REPORT .*\tStatus: error\tError Type: Runtime\.ExitError
$`, string((<-result).Tail))
}

func TestATimeoutIsBilledAsItIs(t *testing.T) {
	const timeout = 50 * time.Millisecond
	s, result := running(t, Invocation{}, func(c *Config) { c.Timeout = timeout })
	r := <-result
	require.Equal(t, TimedOut, r.Outcome)
	require.Equal(t, timeout, r.Duration)
	require.Regexp(t, `Z id-1 Task timed out after 0\.05 seconds\nEND .*\nREPORT .*Duration: 50\.00 ms.*\tStatus: timeout\n$`, string(r.Tail))
	require.False(t, s.Alive())
	s.Shutdown(Timeout)
	require.True(t, s.Alive(), "the next invocation starts the processes")

	result = s.invoke(Invocation{})
	s.eventually("processes", func() bool { return len(s.PIDs()) > 0 })
	r = <-result
	require.Equal(t, TimedOut, r.Outcome, "the second init, which never ends, is bound by the timeout")
	require.False(t, r.Cold)
	require.Contains(t, string(r.Tail), "Phase: invoke\tStatus: timeout")
}

func TestTooMuchMemoryEndsTheProcesses(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	s, result := running(t, Invocation{}, func(c *Config) {
		c.EnforceMemory, c.MemoryMB = true, 64
		c.Command = []string{"python3", "-c", "import time,os\nwhile not os.path.exists('go'): time.sleep(0.01)\nx = bytearray(b'x') * (200 << 20)\ntime.sleep(1000)"}
	})
	require.True(t, s.Alive())
	writeFile(t, s.cfg.Dir+"/go")
	r := <-result
	require.Equal(t, "Runtime.OutOfMemory", r.ErrorType)
	require.JSONEq(t, `{"errorType":"Runtime.OutOfMemory","errorMessage":"RequestId: id-1 Error: Runtime exited with error: signal: killed"}`, string(r.Payload))
	require.Contains(t, string(r.Tail), "Status: error\tError Type: Runtime.OutOfMemory")
}

func TestAKilledEnvironmentIsNotUsedAgain(t *testing.T) {
	s := newStage(t, func(c *Config) { c.InitLimit = time.Nanosecond })
	s.Init(context.Background())
	require.True(t, s.Alive(), "init failed; the invocation tries again")
	failed := s.Failed()
	s.Kill()
	s.Kill()
	<-failed
	require.False(t, s.Alive())
	require.Equal(t, Crashed, (<-s.invoke(Invocation{})).Outcome)
	require.True(t, strings.Contains(s.log.text(), "Phase: init\tStatus: timeout"))
}

// torn is the answer to a call that breaks off.
type torn struct{}

func (torn) Header() http.Header       { return http.Header{} }
func (torn) WriteHeader(int)           {}
func (torn) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

func TestAnAnswerThatBreaksOffHoldsUpNoEnd(t *testing.T) {
	b, err := newBoot(newStage(t, nil).Environment)
	require.NoError(t, err)
	require.Panics(t, func() { b.failBy(torn{}, &Failure{Outcome: Crashed}) })
	stopped := make(chan struct{})
	go func() {
		b.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(soon):
		t.Fatal("the end waits for an answer that never comes")
	}
}
