package environment

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// manage is a change of a Config.
func manage(concurrency int) func(*Config) {
	return func(c *Config) { c.Concurrency = concurrency }
}

func (s *stage) serveAsync(ctx context.Context, id string) <-chan Result {
	s.Reserve()
	return s.serveReserved(ctx, id)
}

func (s *stage) serveReserved(ctx context.Context, id string) <-chan Result {
	result := make(chan Result, 1)
	done := make(chan struct{})
	go func() { defer close(done); result <- s.Serve(ctx, Invocation{ID: id, Payload: []byte(`{}`)}) }()
	s.t.Cleanup(func() { s.Environment.Kill(); <-done })
	return result
}

func (r reply) id() string { return r.header.Get("Lambda-Runtime-Aws-Request-Id") }

func TestWorkersServeInvocationsSideBySide(t *testing.T) {
	s, first := ready(t, manage(2))
	second := s.next()
	s.eventually("two workers", func() bool { return s.Free() == 2 })
	one, two := s.serveAsync(context.Background(), "one"), s.serveAsync(context.Background(), "two")
	got := map[string]bool{(<-first).id(): true, (<-second).id(): true}
	require.Equal(t, map[string]bool{"one": true, "two": true}, got)
	require.Zero(t, s.Free())
	require.Equal(t, http.StatusAccepted, s.call("POST", responsePath("two"), nil, `"2"`).code, "the later one first")
	r := <-two
	require.Equal(t, Succeeded, r.Outcome)
	require.JSONEq(t, `"2"`, string(r.Payload))
	require.Equal(t, "InvalidRequestID", s.call("POST", responsePath("two"), nil, `"2"`).errorBody(t).Type, "it has been answered")
	require.Equal(t, http.StatusAccepted, s.call("POST", errorPath("one"), nil, `{"errorType":"E"}`).code)
	require.Equal(t, Errored, (<-one).Outcome)
	require.Equal(t, 2, s.Served())
}

func responsePath(id string) string { return "/2018-06-01/runtime/invocation/" + id + "/response" }
func errorPath(id string) string    { return "/2018-06-01/runtime/invocation/" + id + "/error" }

// Only an invocation that nobody waits for may take longer than a quarter of an hour.
func TestTheTimeoutOfAnInvocationIsShorterWhereACallerWaits(t *testing.T) {
	for name, c := range map[string]struct {
		inv  Invocation
		want time.Duration
	}{
		"waits":        {Invocation{ID: "id-1"}, 15 * time.Minute},
		"asynchronous": {Invocation{ID: "id-1", Asynchronous: true}, 90 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s, first := ready(t, func(cfg *Config) { manage(1)(cfg); cfg.Timeout = 90 * time.Minute })
			s.Reserve()
			result, done := make(chan Result, 1), make(chan struct{})
			began := time.Now()
			go func() { defer close(done); result <- s.Serve(context.Background(), c.inv) }()
			t.Cleanup(func() { s.Environment.Kill(); <-done })
			ms, err := strconv.ParseInt((<-first).header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
			require.NoError(t, err)
			require.WithinDuration(t, began.Add(c.want), time.UnixMilli(ms), time.Minute)
			s.call("POST", idPath+"response", nil, `1`)
			require.Equal(t, Succeeded, (<-result).Outcome)
		})
	}
}

// A runtime that asks for one invocation at a time gets one at a time, however many the environment might serve.
func TestAnEnvironmentHasAsManySlotsAsWorkers(t *testing.T) {
	s, first := ready(t, manage(10))
	require.Equal(t, 1, s.Free())
	s.Reserve()
	require.Zero(t, s.Free(), "before it is served")
	result := s.serveReserved(context.Background(), "one")
	<-first
	require.Zero(t, s.Free())
	s.call("POST", responsePath("one"), nil, `{}`)
	<-result
	s.next()
	s.eventuallyBoot("the worker is back", func(b *boot) bool { return b.waiting == 1 })
	require.Equal(t, 1, s.Free())
}

// One that times out ends nothing but itself: its worker is busy until it has answered, which nobody hears.
func TestATimeoutIsTheInvocationsAlone(t *testing.T) {
	s, first := ready(t, func(c *Config) { c.Concurrency, c.Timeout = 2, 50*time.Millisecond })
	second := s.next()
	s.eventually("two workers", func() bool { return s.Free() == 2 })
	late := s.serveAsync(context.Background(), "late")
	select {
	case <-first:
	case <-second:
	}
	require.Equal(t, TimedOut, (<-late).Outcome)
	require.True(t, s.Alive())
	require.Equal(t, 1, s.Free())
	refused := s.call("POST", responsePath("late"), nil, `{}`)
	require.Equal(t, http.StatusGone, refused.code)
	require.Equal(t, "InvokeTimeout", refused.errorBody(t).Type)
	require.Equal(t, 2, s.Free())
}

// A worker that never answers, and asks for another invocation, is free.
func TestAWorkerThatForgetsAnInvocationIsFree(t *testing.T) {
	s, first := ready(t, func(c *Config) { c.Concurrency, c.Timeout = 2, 50*time.Millisecond })
	second := s.next()
	s.eventually("two workers", func() bool { return s.Free() == 2 })
	for _, id := range []string{"one", "two", "three"} {
		forgotten := s.serveAsync(context.Background(), id)
		select {
		case <-first:
			first = nil
		case <-second:
			second = nil
		}
		require.Equal(t, TimedOut, (<-forgotten).Outcome)
		require.Equal(t, 1, s.Free())
		if first == nil {
			first = s.next()
		} else {
			second = s.next()
		}
		s.eventually("both workers", func() bool { return s.Free() == 2 })
	}
}

// A crash ends all that is under way.
func TestACrashEndsAllInvocations(t *testing.T) {
	s, first := ready(t, manage(2))
	one := s.serveAsync(context.Background(), "one")
	<-first
	s.Kill()
	require.Equal(t, Crashed, (<-one).Outcome)
	require.Zero(t, s.Free())
}

func TestWhatIsSetOnManagedInstances(t *testing.T) {
	s := newStage(t, manage(7))
	for of, want := range map[kind]string{command: "7", companion: "7", extern: ""} {
		vars := s.reserved("x")
		if of == extern {
			for _, name := range withheld {
				delete(vars, name)
			}
		}
		require.Equal(t, want, vars["AWS_LAMBDA_MAX_CONCURRENCY"], strconv.Itoa(int(of)))
		require.Equal(t, "lambda-managed-instances", vars["AWS_LAMBDA_INITIALIZATION_TYPE"])
	}
}

// Extensions hear of the end only, and runtimes that are one of nothing.
func TestExtensionsAreNotToldOfInvocations(t *testing.T) {
	s := newStage(t, func(c *Config) {
		c.Concurrency = 2
		c.Extensions = []Extension{{Name: "watcher", Argv: []string{"sleep", "1000"}}}
	})
	s.begin()
	register := func(name string, events ...string) reply {
		body, _ := json.Marshal(map[string]any{"events": append([]string{}, events...)})
		return s.call("POST", "/2020-01-01/extension/register", http.Header{"Lambda-Extension-Name": {name}}, string(body))
	}
	for _, refused := range []reply{register("watcher", "INVOKE", "SHUTDOWN"), register("part", "INVOKE"), register("part", "SHUTDOWN")} {
		require.Equal(t, "Extension.InvalidEventType", refused.errorBody(t).Type)
	}
	require.Equal(t, http.StatusOK, register("watcher", "SHUTDOWN").code)
	require.Equal(t, http.StatusOK, register("part").code)
}
