package dispatch

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// world is everything around a dispatcher, by hand: Lambda, the relay and Envoy.
type world struct {
	*Dispatcher
	t     testing.TB
	token atomic.Value // string, that peers register with
	used  atomic.Bool  // the environment that all come up in

	mu       sync.Mutex
	invoked  []wire.Invocation
	ends     map[string]chan provider.End
	expected []relays.Expectation
	drained  map[string]wire.Reason
	notes    map[string][]byte
	forgot   []string
	refuses  bool // instances are let in nowhere

	versions   map[string]string // that instances were invoked as
	routing    provider.Routing  // what may be read of the function's versions
	unreadable error
	reads      int
	reading    func()                    // happens while it is read; nil: nothing
	failing    func(version string) bool // whether a start fails; nil: none does
	failure    provider.End              // how
}

// newWorld must be called inside a synctest bubble, for all that waits.
func newWorld(t testing.TB, change func(*config.Function)) *world {
	return newSigningWorld(t, signing.Key{}, change)
}

func newSigningWorld(t testing.TB, key signing.Key, change func(*config.Function)) *world {
	return newWorldWith(t, Options{
		Configuration: Configuration{Functions: webFunctions(change)}, Signing: func() signing.Key { return key },
	})
}

func webFunctions(change func(*config.Function)) []config.Function {
	return []config.Function{webFunction(change)}
}

func webFunction(change func(*config.Function)) config.Function {
	cfg := config.DefaultFunction()
	cfg.Name = "web"
	cfg.Scaling.Preference = config.PreferCost // nothing is started but for requests and the minimum, and to keep environments that were frozen for five minutes
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func newWorldOf(t testing.TB, budget config.Budget, functions ...config.Function) *world {
	return newWorldWith(t, Options{Configuration: Configuration{Functions: functions, Budget: budget}})
}

// newWorldWith fills in what the options leave out.
func newWorldWith(t testing.TB, o Options) *world {
	w := newWaitingWorldWith(t, o)
	w.lead()
	return w
}

// lead decides, and writes down what a successor should know, as whoever leads does where somebody may follow.
func (w *world) lead() {
	w.Start()
	w.spawn(func() {
		for pause.For(w.stop, time.Second) {
			w.WriteNotes()
		}
	})
}

// newWaitingWorld has not started yet: it may inherit.
func newWaitingWorld(t testing.TB, change func(*config.Function)) *world {
	return newWaitingWorldWith(t, Options{Configuration: Configuration{Functions: webFunctions(change)}})
}

func newWaitingWorldWith(t testing.TB, o Options) *world {
	log := logrus.New()
	log.SetOutput(t.Output())
	w := &world{t: t, ends: map[string]chan provider.End{}, drained: map[string]wire.Reason{}, notes: map[string][]byte{}, versions: map[string]string{}}
	providers := map[string]provider.Provider{}
	w.token.Store(staticToken)
	o.Tokens = map[string]func() string{}
	for _, cfg := range o.Functions {
		if cfg.Provider == config.ProviderLambda {
			providers[cfg.Name] = w
		} else {
			o.Tokens[cfg.Name] = func() string { return w.token.Load().(string) }
		}
	}
	o.Providers, o.Pricing, o.Key, o.Log = providers, config.Default().Pricing, token.NewKey(), log
	w.Dispatcher = New(o)
	w.Connect(Connection{
		Relay: commands{w}, Socket: func(endpoint string) string { return "/e/" + endpoint }, Changed: func(string) {},
		Relays: func() []wire.Relay { return []wire.Relay{{Address: "relay.example.com:7443"}} },
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		w.Shutdown(ctx)
	})
	return w
}

func (w *world) Invoke(ctx context.Context, version string, inv wire.Invocation) provider.End {
	end := make(chan provider.End, 1)
	w.mu.Lock()
	w.versions[inv.Instance] = version
	w.invoked = append(w.invoked, inv)
	w.ends[inv.Instance] = end
	w.mu.Unlock()
	select {
	case e := <-end:
		return e
	case <-ctx.Done():
		return provider.End{Cause: scaler.Unknown}
	}
}

// Routing is what the test has set.
func (w *world) Routing(context.Context) (provider.Routing, error) {
	w.mu.Lock()
	w.reads++
	reading := w.reading
	w.mu.Unlock()
	if reading != nil {
		reading()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.routing, w.unreadable
}

func (w *world) Expect(e relays.Expectation) {
	w.mu.Lock()
	w.expected = append(w.expected, e)
	refuses := w.refuses
	w.mu.Unlock()
	if refuses {
		go w.Down(e.Instance, nil, relays.ErrStopped)
		return
	}
	w.Expected(e.Instance)
}

// refuse says whether instances are let in nowhere from now on.
func (w *world) refuse(refuses bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuses = refuses
}

func (w *world) Note(function string, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes[function] = text
}

func (w *world) drainedFor(id string) wire.Reason {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drained[id]
}

func (w *world) Forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgot = append(w.forgot, id)
}

// commands is the world as relays.Commands: Drain and Register of the embedded Dispatcher have other meanings.
type commands struct{ *world }

func (c commands) Drain(id string, reason wire.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drained[id] = reason
}

// instances lists the ids invoked so far, once all goroutines have come to rest.
func (w *world) instances() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for _, inv := range w.invoked {
		ids = append(ids, inv.Instance)
	}
	return ids
}

// publish lets Envoy know every endpoint.
func (w *world) publish() { w.publishOf("web") }

func (w *world) publishOf(function string) {
	var paths []string
	for _, e := range w.Endpoints(function, nil) {
		paths = append(paths, e.Path)
	}
	slices.Sort(paths)
	w.Acked(function, paths)
}

// comesUp is the Up of an instance. All have one environment, which is new at first.
func (w *world) comesUp(id string) {
	w.Up(relays.Up{Instance: id, Environment: "env", Slots: 10, Cold: !w.used.Swap(true)})
}

// end ends an invocation the way a provider tells.
func (w *world) end(id string, e provider.End) {
	w.mu.Lock()
	ch := w.ends[id]
	w.mu.Unlock()
	ch <- e
	synctest.Wait()
}

type result struct {
	lease *Lease
	err   error
}

// acquire asks for a slot in the background.
func (w *world) acquire(ctx context.Context) chan result { return w.acquireFrom(ctx, "web") }

func (w *world) acquireFrom(ctx context.Context, function string) chan result {
	out := make(chan result, 1)
	go func() {
		l, err := w.Acquire(ctx, admission.Request{Function: function})
		out <- result{l, err}
	}()
	synctest.Wait()
	return out
}

// up acquires a lease and brings the instance up that it starts.
func (w *world) up() (id string, lease *Lease) {
	w.t.Helper()
	got := w.acquire(w.t.Context())
	ids := w.instances()
	id = ids[len(ids)-1]
	w.publish()
	w.comesUp(id)
	r := <-got
	require.NoError(w.t, r.err)
	return id, r.lease
}

func (w *world) health(path string) upstream.Health {
	for _, e := range w.Endpoints("web", nil) {
		if e.Path == path {
			return e.Health
		}
	}
	require.Failf(w.t, "endpoint not published", path)
	return 0
}

func requireRefused(t *testing.T, r result, outcome admission.Outcome, cause admission.Cause) {
	t.Helper()
	var e *admission.Error
	require.ErrorAs(t, r.err, &e)
	require.Equal(t, outcome, e.Outcome)
	require.Equal(t, cause, e.Cause)
}

func TestTheFirstRequestStartsAnInstanceAndGetsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		got := w.acquire(t.Context())
		ids := w.instances()
		require.Len(t, ids, 1)
		require.Equal(t, "web/0000", w.expected[0].Endpoint)
		require.Equal(t, upstream.Unhealthy, w.health("/e/web/0000"), "published before it is up")
		w.publish()
		w.comesUp(ids[0])
		r := <-got
		require.NoError(t, r.err)
		require.Equal(t, "/e/web/0000", r.lease.Endpoint())
		require.Equal(t, upstream.Healthy, w.health("/e/web/0000"))
		r.lease.Release()
		r.lease.Release()
		again := <-w.acquire(t.Context())
		require.NoError(t, again.err)
		require.Len(t, w.instances(), 1)
	})
}

func TestNoLeaseNamesAnEndpointThatEnvoyDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		got := w.acquire(t.Context())
		w.comesUp(w.instances()[0])
		synctest.Wait()
		require.Empty(t, got, "up, but not acknowledged")
		w.publish()
		require.NoError(t, (<-got).err)
	})
}

func TestAClientThatLeavesTheQueueIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx, leave := context.WithCancel(t.Context())
		got := w.acquire(ctx)
		time.Sleep(3 * time.Second)
		leave()
		left := <-got
		requireRefused(t, left, admission.Evicted, admission.Canceled)
		var e *admission.Error
		require.ErrorAs(t, left.err, &e)
		require.Equal(t, 3*time.Second, e.Waited)
		w.publish()
		w.comesUp(w.instances()[0])
		stats := w.named("web").pool.Stats()
		require.Zero(t, stats.Waiting)
		require.Zero(t, stats.InFlight)
	})
}

func TestTheQueueGivesUpAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Queue.Timeout = 7 * time.Second })
		began := time.Now()
		requireRefused(t, <-w.acquire(t.Context()), admission.Evicted, admission.QueueTimeout)
		require.Equal(t, 7*time.Second, time.Since(began))
	})
}

func TestAFullQueueAndUnknownAndDisabledFunctionsRejectAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Queue.Limit = 1 })
		waiting := w.acquire(t.Context())
		requireRefused(t, <-w.acquire(t.Context()), admission.Rejected, admission.QueueFull)
		require.Empty(t, waiting)
		_, err := w.Acquire(t.Context(), admission.Request{Function: "nope"})
		requireRefused(t, result{err: err}, admission.Rejected, admission.UnknownFunction)

		off := newWorld(t, func(f *config.Function) { f.Disabled = true })
		requireRefused(t, <-off.acquire(t.Context()), admission.Rejected, admission.Disabled)
		require.Empty(t, off.instances())
	})
}

func TestDeniedInvocationsAnswerTheWaitersWithTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		got := w.acquire(t.Context())
		w.end(w.instances()[0], provider.End{Cause: scaler.Denied, Detail: "AccessDeniedException"})
		requireRefused(t, <-got, admission.Evicted, admission.Denied)
		requireRefused(t, <-w.acquire(t.Context()), admission.Rejected, admission.Denied)
		require.Len(t, w.instances(), 1, "nobody asks again in vain")
	})
}

func TestAnIdleInstanceIsDrainedAndItsEndpointStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		lease.Release()
		time.Sleep(10 * time.Second) // of the bubble's clock
		synctest.Wait()
		require.Equal(t, wire.ReasonScaleIn, w.drainedFor(id))
		require.Equal(t, upstream.Draining, w.health("/e/web/0000"))
		w.end(id, provider.End{Report: &wire.Report{Reason: wire.ReasonScaleIn, Worn: wire.NoticeWornAge}}) // nothing is left to be kept
		require.Equal(t, upstream.Unhealthy, w.health("/e/web/0000"))
		require.Contains(t, w.forgot, id)

		time.Sleep(retention + time.Second)
		require.Empty(t, w.Endpoints("web", nil), "unused for the retention time")
	})
}

func TestAnInstanceWithALeaseIsNotToldToFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		require.NoError(t, w.DrainInstance(id))
		require.Equal(t, upstream.Draining, w.health("/e/web/0000"))
		require.Empty(t, w.drainedFor(id), "the request may still be on its way through Envoy")
		lease.Release()
		require.Equal(t, wire.ReasonOperator, w.drainedFor(id))
	})
}

func TestAnInstanceThatDrainsByItselfIsToldWhenNoLeaseIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		w.Draining(id, wire.ReasonShutdown)
		require.Empty(t, w.drainedFor(id))
		lease.Release()
		require.Equal(t, wire.ReasonShutdown, w.drainedFor(id))
	})
}

func TestTheDeadlineCountsFromWhereThePeerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Lambda.Timeout, f.Scaling.Min = 3*time.Second, 1 })
		got := w.acquire(t.Context())
		id := w.instances()[0]
		w.publish()
		time.Sleep(10 * time.Second) // of the bubble's clock: Lambda's init, which no timeout counts
		w.Up(relays.Up{Instance: id, Environment: "env", Slots: 10, Left: 3 * time.Second})
		(<-got).lease.Release()
		require.Equal(t, upstream.Healthy, w.health("/e/web/0000"))
		time.Sleep(1900 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, wire.ReasonRotation, w.drainedFor(id), "a third of the timeout before its end")
	})
}

func TestAShorterTimeoutInTheConfigurationHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Lambda.Timeout, f.Scaling.Min = 3*time.Second, 1 })
		got := w.acquire(t.Context())
		id := w.instances()[0]
		w.publish()
		w.Up(relays.Up{Instance: id, Environment: "env", Slots: 10, Left: 15 * time.Minute})
		(<-got).lease.Release()
		time.Sleep(3 * time.Second) // of the bubble's clock
		synctest.Wait()
		require.Equal(t, wire.ReasonRotation, w.drainedFor(id))
	})
}

func TestALostInstanceGetsNoMoreRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		w.Down(id, nil, relays.ErrControlEnded)
		next := w.acquire(t.Context())
		require.Empty(t, next)
		require.Len(t, w.instances(), 2, "a replacement for the one that is lost")
		lease.Release()
		require.Empty(t, next, "the slot of a lost instance serves nobody")
	})
}

func TestPeersRegisterWithTheFunctionsToken(t *testing.T) {
	secret, registering := static(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) {
			registering(f)
			f.Scaling.Max = 1
		})
		for _, wrong := range []string{"", "guess", secret + "x"} {
			_, err := w.Register(t.Context(), wrong, wire.Registration{Function: "web"})
			require.ErrorIs(t, err, relays.ErrUnauthorized)
		}
		inv, err := w.Register(t.Context(), secret, wire.Registration{Function: "web", Environment: "laptop"})
		require.NoError(t, err)
		_, err = w.Register(t.Context(), secret, wire.Registration{Function: "web"})
		require.Error(t, err, "max is 1")

		got := w.acquire(t.Context())
		w.publish()
		w.comesUp(inv.Instance)
		(<-got).lease.Release()
		time.Sleep(time.Hour)
		require.Empty(t, w.drainedFor(inv.Instance), "peers that came by themselves stay")
		w.Down(inv.Instance, nil, relays.ErrControlEnded)
		_, err = w.Register(t.Context(), secret, wire.Registration{Function: "web"})
		require.NoError(t, err, "its place is free again")
	})
}

// A peer that registers again has left the instance before: its answer came too late, or nobody could reach it.
func TestAPeerThatRegistersAgainTakesOnePlace(t *testing.T) {
	secret, registering := static(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) {
			registering(f)
			f.Scaling.Max = 2
		})
		register := func(environment string) string {
			inv, err := w.Register(t.Context(), secret, wire.Registration{Function: "web", Environment: environment})
			require.NoError(t, err)
			return inv.Instance
		}
		w.publish()
		other := register("other")
		up := func(id, environment string) { w.Up(relays.Up{Instance: id, Environment: environment, Slots: 10}) }
		up(other, "other")
		first := register("laptop")
		second := register("laptop")
		require.NotEqual(t, first, second)
		require.Len(t, w.Instances(), 2)
		up(second, "laptop")
		w.Lost(second, relays.ErrControlEnded)
		up(register("laptop"), "laptop")
		require.Len(t, w.Instances(), 2)
		_, err := w.Register(t.Context(), secret, wire.Registration{Function: "web", Environment: "third"})
		require.Error(t, err)
		require.Contains(t, w.forgot, first)
		require.Contains(t, w.forgot, second)
		require.NotContains(t, w.forgot, other)
	})
}

// A token that was replaced is worth nothing from then on; instances that have registered with it stay.
func TestATokenIsReplaced(t *testing.T) {
	secret, registering := static(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registering)
		_, err := w.Register(t.Context(), secret, wire.Registration{Function: "web"})
		require.NoError(t, err)
		w.token.Store("another one, long enough")
		_, err = w.Register(t.Context(), secret, wire.Registration{Function: "web"})
		require.ErrorIs(t, err, relays.ErrUnauthorized)
		_, err = w.Register(t.Context(), "another one, long enough", wire.Registration{Function: "web"})
		require.NoError(t, err)
		require.Len(t, w.Instances(), 2)
	})
}

// All peers of a function may register at once, as after a restart, and then a tenth of them a second.
func TestPeersRegisterTooOften(t *testing.T) {
	secret, registering := static(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) {
			registering(f)
			f.Scaling.Max = 50
		})
		try := func() error {
			inv, err := w.Register(t.Context(), secret, wire.Registration{Function: "web"})
			if err == nil {
				w.Down(inv.Instance, nil, relays.ErrControlEnded)
			}
			return err
		}
		for range 50 {
			require.NoError(t, try())
		}
		require.ErrorIs(t, try(), relays.ErrRegisterTooOften)
		_, err := w.Register(t.Context(), "guess", wire.Registration{Function: "web"})
		require.ErrorIs(t, err, relays.ErrUnauthorized, "which costs the function's peers nothing")
		time.Sleep(time.Second)
		for range 5 {
			require.NoError(t, try())
		}
		require.ErrorIs(t, try(), relays.ErrRegisterTooOften)
	})
}

func TestShutdownDrainsAndWaitsForTheInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 2 })
		w.publish()
		ids := w.instances()
		require.Len(t, ids, 2)
		for _, id := range ids {
			w.comesUp(id)
		}
		done := make(chan struct{})
		go func() {
			w.Shutdown(t.Context())
			close(done)
		}()
		synctest.Wait()
		for _, id := range ids {
			require.Equal(t, wire.ReasonStopping, w.drainedFor(id))
			require.NotPanics(t, func() { w.end(id, provider.End{Report: &wire.Report{Reason: wire.ReasonStopping}}) })
		}
		<-done
		requireRefused(t, <-w.acquire(t.Context()), admission.Rejected, admission.Closed)
	})
}
