package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// busiest is the ready instance with the most requests.
func busiest(t *testing.T, s *controlplanetest.Stack, name string) operator.Instance {
	t.Helper()
	var most operator.Instance
	for _, i := range s.Instances(name) {
		if i.State == "ready" && (most.ID == "" || i.InFlight > most.InFlight) {
			most = i
		}
	}
	require.NotEmpty(t, most.ID, "none is ready")
	return most
}

// Scenario 29: no environment ever has more requests than it may, as its app counts them.
func TestConcurrencyIsNeverExceeded(t *testing.T) {
	for _, concurrency := range []int{1, 3} {
		t.Run(strconv.Itoa(concurrency), func(t *testing.T) {
			events := map[string]string{}
			s := startBoth(t, func(f *controlplanetest.Function) {
				f.Scaling.Concurrency, f.Scaling.Max = concurrency, 4
				events[f.Name] = filepath.Join(t.TempDir(), "events")
				f.Local.Env[contract.EventsVariable] = events[f.Name]
			})
			forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
				requireServed(t, startLoad(t, s, 30, 600, "/"+name+"/sleep?ms=5").wait())
				highest, err := contract.MaxInFlight(events[name])
				require.NoError(t, err)
				require.NotEmpty(t, highest)
				for environment, n := range highest {
					require.EqualValues(t, concurrency, n, environment)
				}
				require.LessOrEqual(t, s.Function(name).Starts, uint64(4))
			})
		})
	}
}

// oneSlot starts functions of one instance with one slot.
func oneSlot(t *testing.T, tune func(*controlplanetest.Function)) *controlplanetest.Stack {
	return startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency, f.Scaling.Max, f.Scaling.Min = 1, 1, 1
		tune(f)
	})
}

// occupy takes the only slot with a request that ends when its client leaves.
func occupy(t *testing.T, s *controlplanetest.Stack, name string) (held *load) {
	t.Helper()
	held = startLoad(t, s, 1, 1, "/"+name+"/sleep?ms=2000")
	eventuallyUsed(s, name, 1, 0)
	return held
}

func eventuallyUsed(s *controlplanetest.Stack, name string, inFlight, queued int) {
	s.Eventually(fmt.Sprintf("%d in flight and %d queued", inFlight, queued), func() error {
		if f := s.Function(name); f.InFlight != inFlight || f.QueueDepth != queued {
			return fmt.Errorf("%d in flight, %d queued", f.InFlight, f.QueueDepth)
		}
		return nil
	})
}

// Scenario 29: who came first is served first.
func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	const waiters = 12
	events := map[string]string{}
	s := oneSlot(t, func(f *controlplanetest.Function) {
		events[f.Name] = filepath.Join(t.TempDir(), "events")
		f.Local.Env[contract.EventsVariable] = events[f.Name]
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		loads := []*load{occupy(t, s, name)}
		var want []string
		for n := range waiters {
			want = append(want, fmt.Sprint("waiter-", n))
			loads = append(loads, startLoad(t, s, 1, 1, "/"+name+"/hello?key="+want[n]))
			eventuallyUsed(s, name, 1, n+1)
		}
		for _, l := range loads {
			requireServed(t, l.wait())
		}
		require.Equal(t, want, startedKeys(t, events[name]))
	})
}

// startedKeys are the keys of requests in the order in which the app saw them.
func startedKeys(t *testing.T, file string) []string {
	t.Helper()
	events, err := contract.ReadEvents(file, "")
	require.NoError(t, err)
	var keys []string
	for _, e := range events {
		if e.Name == contract.Started && e.Key != contract.InFlightKey {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

// Scenario 30: above the queue's limit a request is told to come again, at once; those that wait are not touched.
func TestTheQueueHasALimit(t *testing.T) {
	t.Parallel()
	const limit = 3
	s := oneSlot(t, func(f *controlplanetest.Function) { f.Queue.Limit = limit })
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		held := occupy(t, s, name)
		waiting := startLoad(t, s, limit, limit, "/"+name+"/hello")
		eventuallyUsed(s, name, 1, limit)
		for range 5 {
			r := fetch(t.Context(), waiting.client, s.URL("/"+name+"/hello"))
			require.Equal(t, http.StatusServiceUnavailable, r.status, r)
			require.Equal(t, "queue_full", problemCause(t, r))
			seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
			require.NoError(t, err)
			require.Positive(t, seconds)
		}
		require.Empty(t, held.soFar(), "the slot was taken all the time, or this test shows nothing")
		requireServed(t, held.wait())
		requireServed(t, waiting.wait())
		require.EqualValues(t, 1, s.Function(name).Starts)
	})
}

// Scenario 31: up in one step, level, and down again.
func TestLongCapacityFollowsTheLoad(t *testing.T) {
	const concurrency, base, step = 10, 5, 50
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency = concurrency
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		began := time.Now()
		stays := startLoad(t, s, base, endless, "/"+name+"/sleep?ms=50")
		leaves := startLoad(t, s, step, endless, "/"+name+"/sleep?ms=50")
		s.Eventually("capacity", func() error {
			if f := s.Function(name); f.Capacity < base+step {
				return fmt.Errorf("%d slots", f.Capacity)
			}
			return nil
		})
		t.Logf("capacity after %v", time.Since(began).Round(time.Millisecond))
		needed := uint64(base+step+concurrency-1) / concurrency
		require.LessOrEqual(t, s.Function(name).Starts, 2*needed, "overshoot")

		eventuallySent(s, leaves, 500) // a client's next request may come before its last one's slot is free
		level := s.Lambda.Counters(name).Cold
		eventuallySent(s, leaves, 1000)
		up := s.Lambda.Counters(name).Cold // an instance that idles for a moment may end, and start warm
		require.LessOrEqual(t, up, level+1, "steady load needs no new environments")

		requireServed(t, leaves.stop())
		eventuallyReady(s, name, 1)
		eventuallySent(s, stays, 100)
		requireServed(t, stays.stop())
		after := s.Lambda.Counters(name).Cold
		require.LessOrEqual(t, after, up+1, "a drop makes nothing")
		t.Logf("%d needed, %d environments made up to the level, %d on it, %d after it", needed, level, up-level, after-up)
	})
}

// eventuallySent waits until so many more requests were sent.
func eventuallySent(s *controlplanetest.Stack, l *load, more int64) {
	before := l.sent.Load()
	s.Eventually(fmt.Sprint(more, " more requests"), func() error {
		if sent := l.sent.Load() - before; sent < more {
			return fmt.Errorf("%d were sent", sent)
		}
		return nil
	})
}

// The control plane is told to stop under load: what is in flight finishes, everybody else is told to come again.
func TestLongShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	s := startBoth(t, func(f *controlplanetest.Function) { f.Scaling.Min = 2 })
	l, long := map[string]*load{}, map[string]*load{}
	for _, peer := range controlplanetest.Peers {
		eventuallyReady(s, string(peer), 2)
	}
	for _, peer := range controlplanetest.Peers {
		name := string(peer)
		l[name] = startLoad(t, s, 8, endless, "/"+name+"/sleep?ms=20")
		long[name] = startLoad(t, s, 8, 8, "/"+name+"/sleep?ms=2000")
	}
	for name := range l {
		s.Eventually("under load", func() error {
			if f := s.Function(name); f.InFlight < 9 || l[name].sent.Load() < 50 {
				return fmt.Errorf("%d in flight, %d sent", f.InFlight, l[name].sent.Load())
			}
			return nil
		})
		require.Empty(t, long[name].soFar(), "they are in flight when it stops, or this test shows nothing")
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.StopControlPlane()
	}()
	s.Eventually("not ready any more", func() error {
		if status, body := s.AdminGet("/readyz"); status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d: %s", status, body)
		}
		return nil
	})
	<-stopped
	for _, l := range l {
		l.left.Store(0) // those on their way wait for a control plane that may come back
	}
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		requireServed(t, long[name].wait())
		refused := 0
		for _, r := range l[name].stop() {
			if r.served() {
				continue
			}
			require.Equal(t, http.StatusServiceUnavailable, r.status, r)
			require.Contains(t, []string{"closed", "no_instance"}, problemCause(t, r))
			refused++
		}
		require.NotZero(t, refused, "clients went on after the end")
		c := s.Lambda.Counters(name)
		require.Equal(t, c.Started, c.Ended, "every invocation has returned")
		require.Zero(t, c.Errors)
	})
}

// Where concurrency is learned an instance begins with a guess, and ends with what its app serves: an app that does one request after
// the other with one. It is seen in the API and in the metrics, and a control plane that follows knows it.
func TestLongConcurrencyIsLearned(t *testing.T) {
	var o controlplanetest.Options
	for _, name := range []string{"waits", "computes"} {
		f := controlplanetest.App(t, name, controlplanetest.Library)
		f.Scaling.Concurrency = 0
		o.Functions = append(o.Functions, f)
	}
	o.Functions[1].Local.Env[contract.SerialVariable] = "1"
	o.Apart = true
	s := controlplanetest.Start(t, o)
	first := s.Function("computes")
	require.True(t, first.Learned)
	require.Equal(t, scaler.FirstSlots, first.Concurrency)

	for name, done := range map[string]func(slots int) bool{
		"waits":    func(slots int) bool { return slots > scaler.FirstSlots },
		"computes": func(slots int) bool { return slots <= 2 }, // one, or one that is tried
	} {
		load := startLoad(t, s, 24, endless, "/"+name+"/sleep?ms=100")
		s.EventuallyWithin(2*time.Minute, "slots are learned", func() error {
			if slots := s.Function(name).Concurrency; !done(slots) {
				return fmt.Errorf("%s: %d slots", name, slots)
			}
			return nil
		})
		requireServed(t, load.stop())
	}
	for _, i := range s.Instances("computes") {
		require.LessOrEqual(t, i.Slots, 2)
	}
	_, metrics := s.AdminGet("/metrics")
	require.Contains(t, metrics, `lambda_dispatch_concurrency{function="computes"}`)

	learned := s.Function("waits").Concurrency
	s.Leader.Stop() // one that crashes may have learned it since its notes of the last second
	s.Leader = s.StartControlPlane()
	s.Leader.Leads()
	require.Equal(t, learned, s.Function("waits").Concurrency)
	require.LessOrEqual(t, s.Function("computes").Concurrency, 2)
}
