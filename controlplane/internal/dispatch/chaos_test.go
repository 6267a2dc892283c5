package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// chaos is a Lambda, a relay and peers of which each does what it is allowed to, at random times: it fails to start, comes
// up late or never, drains, crashes, answers before or after its tunnels are gone, or loses its answer on the way.
type chaos struct {
	d    *Dispatcher
	rand *rand.Rand // guarded by mu
	all  sync.WaitGroup

	mu    sync.Mutex
	peers map[string]*peer
	acked map[string]bool // endpoints that Envoy knows
}

// A peer is one instance. Its life, like the relay, reports Up, Draining and Down in order, and Down exactly once.
type peer struct {
	drain  chan struct{}     // capacity 1
	forget chan struct{}     // capacity 1
	answer chan provider.End // capacity 1: of the invocation
}

func (c *chaos) upTo(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.rand.Int64N(int64(d)))
}

func (c *chaos) oneIn(n int) bool { return c.upTo(time.Duration(n)) == 0 }

func (c *chaos) find(id string) *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers[id]
}

func (c *chaos) Expect(e relays.Expectation) {
	p := &peer{drain: make(chan struct{}, 1), forget: make(chan struct{}, 1), answer: make(chan provider.End, 1)}
	c.mu.Lock()
	c.peers[e.Instance] = p
	c.mu.Unlock()
	c.all.Go(func() { c.live(e, p) })
	c.d.Expected(e.Instance)
}

func (c *chaos) Note(string, []byte) {}

func (c *chaos) Drain(id string, _ wire.Reason) {
	signal(c.find(id), func(p *peer) chan struct{} { return p.drain })
}

func (c *chaos) Forget(id string) {
	signal(c.find(id), func(p *peer) chan struct{} { return p.forget })
}

func signal(p *peer, which func(*peer) chan struct{}) {
	if p == nil {
		return
	}
	select {
	case which(p) <- struct{}{}:
	default:
	}
}

// Invoke returns the peer's answer, a refusal, or an error of the network while the peer lives on.
func (c *chaos) Invoke(ctx context.Context, version string, inv wire.Invocation) provider.End {
	p := c.find(inv.Instance)
	lost := 10 * time.Minute
	switch {
	case c.oneIn(20):
		return provider.End{Cause: scaler.Throttled}
	case c.oneIn(10):
		lost = c.upTo(20 * time.Second)
	}
	select {
	case end := <-p.answer:
		return end
	case <-time.After(lost):
		return provider.End{Cause: scaler.Network, Detail: "connection reset"}
	case <-ctx.Done():
		return provider.End{Cause: scaler.Network, Detail: "canceled"}
	}
}

// Routing leads to one version after the other, and now and then nobody may know.
func (c *chaos) Routing(context.Context) (provider.Routing, error) {
	switch {
	case c.oneIn(10):
		return provider.Routing{}, provider.ErrForbidden
	case c.oneIn(5):
		return provider.Routing{Revision: fmt.Sprint(int(c.upTo(3)))}, nil
	}
	route := pool.Route{Version: fmt.Sprint(1 + int(c.upTo(3)))}
	if c.oneIn(3) {
		route.Extra, route.Share = "9", 0.3
	}
	return provider.Routing{Route: route}, nil
}

// live is a peer's life, from Expect to Down.
func (c *chaos) live(e relays.Expectation, p *peer) {
	report, err := c.serve(e.Instance, p)
	answer := provider.End{Cause: scaler.Crashed}
	if report != nil {
		answer = provider.End{Report: report}
	}
	if c.oneIn(2) { // the answer comes first
		p.answer <- answer
		time.Sleep(c.upTo(100 * time.Millisecond))
		c.d.Down(e.Instance, report, err)
		return
	}
	c.d.Down(e.Instance, report, err)
	time.Sleep(c.upTo(2 * time.Second))
	p.answer <- answer
}

func (c *chaos) serve(id string, p *peer) (*wire.Report, error) {
	up := time.After(c.upTo(2 * time.Second))
	if c.oneIn(20) {
		up = nil // never
	}
	var lost <-chan time.Time
	leaves, crashes := time.After(time.Second+c.upTo(time.Minute)), time.After(time.Second+c.upTo(3*time.Minute))
	drain := p.drain
	if c.oneIn(3) { // and perhaps much later than anybody waits for it
		c.d.Waiting(relays.Waiting{Instance: id, Environment: "env", What: "GET / answered 503"})
	}
	for {
		select {
		case <-up:
			c.d.Up(relays.Up{Instance: id, Environment: "env", Slots: 1 + int(c.upTo(4)), Left: time.Minute})
			c.d.Load(id, relays.Load{InFlight: 1})
			if c.oneIn(8) {
				c.d.Notice(id, wire.NoticeSerialApp)
				c.d.Waiting(relays.Waiting{Instance: id, Environment: "env", What: "of no use any more"})
			}
			if c.oneIn(4) {
				lost = time.After(c.upTo(10 * time.Second))
			}
		case <-lost:
			c.d.Lost(id, relays.ErrControlEnded)
			up = time.After(c.upTo(3 * time.Second))
		case <-leaves:
			c.d.Draining(id, wire.ReasonShutdown)
		case <-drain:
			if drain = nil; c.oneIn(20) {
				continue // it hangs
			}
			time.Sleep(c.upTo(50 * time.Millisecond))
			return &wire.Report{Reason: wire.ReasonScaleIn}, nil
		case <-crashes:
			return nil, relays.ErrControlEnded
		case <-p.forget:
			return nil, relays.ErrForgotten
		}
	}
}

// client asks for slots, uses them and gives them back, now and then twice, until ctx ends.
func (c *chaos) client(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		patience, leave := context.WithTimeout(ctx, c.upTo(5*time.Second))
		lease, err := c.d.Acquire(patience, admission.Request{Function: "web"})
		leave()
		if err != nil {
			time.Sleep(c.upTo(200 * time.Millisecond))
			continue
		}
		assert.True(t, c.knows(lease.Endpoint()), "a lease names what Envoy does not know")
		time.Sleep(c.upTo(time.Second))
		lease.Release()
		if c.oneIn(3) {
			lease.Release()
		}
		if c.oneIn(10) {
			time.Sleep(c.upTo(20 * time.Second))
		}
	}
}

// envoy acknowledges what is published a little later, until ctx ends.
func (c *chaos) envoy(ctx context.Context) {
	for ctx.Err() == nil {
		var paths []string
		for _, e := range c.d.Endpoints("web", nil) {
			paths = append(paths, e.Path)
		}
		slices.Sort(paths)
		time.Sleep(c.upTo(20 * time.Millisecond))
		c.learn(paths)
		c.d.Acked("web", paths)
		time.Sleep(c.upTo(20 * time.Millisecond))
	}
}

func (c *chaos) learn(paths []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, path := range paths {
		c.acked[path] = true
	}
}

func (c *chaos) knows(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked[path]
}

// check holds the pool to its invariants at any moment.
func (c *chaos) check(t *testing.T) {
	t.Helper()
	f := c.d.named("web")
	f.mu.Lock()
	defer f.mu.Unlock()
	require.NoError(t, f.pool.Check())
	for core := range f.pool.Instances() {
		i := core.Owner.(*instance)
		if core.State() == pool.Ready || core.State() == pool.Draining {
			require.Empty(t, f.waitsFor(i, now()), "it does not start any more")
		}
	}
}

func TestChaosLeavesNothingBehind(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) { survive(t, seed) })
	}
}

func survive(t *testing.T, seed uint64) {
	cfg := config.DefaultFunction()
	cfg.Name = "web"
	cfg.Rollout.Watch, cfg.Rollout.Hold = 10*time.Second, time.Second
	cfg.Queue.Limit, cfg.Queue.Timeout = 20, 3*time.Second
	cfg.Lambda.Timeout = time.Minute
	cfg.Scaling.Concurrency, cfg.Scaling.Min, cfg.Scaling.Max = 3, 1, 8
	cfg.Scaling.StartTimeout, cfg.Scaling.DrainTimeout = 5*time.Second, 3*time.Second
	log := logrus.New()
	log.SetOutput(t.Output())
	log.SetLevel(logrus.ErrorLevel)
	c := &chaos{rand: rand.New(rand.NewPCG(seed, 0)), peers: map[string]*peer{}, acked: map[string]bool{}}
	c.d = New(Options{
		Configuration: Configuration{Functions: []config.Function{cfg}, Providers: map[string]provider.Provider{"web": c}},
		Key:           token.NewKey(), Log: log,
	})
	c.d.Connect(Connection{
		Relay: c, Socket: func(endpoint string) string { return "/e/" + endpoint }, Changed: func(string) {},
	})
	c.d.Start()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	var world sync.WaitGroup
	world.Go(func() { c.envoy(ctx) })
	for range 30 {
		world.Go(func() { c.client(ctx, t) })
	}
	for ctx.Err() == nil {
		time.Sleep(c.upTo(time.Second))
		c.check(t)
	}
	require.Greater(t, c.d.Functions()[0].Starts, uint64(20), "there was something to survive")
	ending, cut := context.WithTimeout(t.Context(), c.d.DrainLimit()+time.Second)
	defer cut()
	c.d.Shutdown(ending)
	world.Wait()
	c.all.Wait()
	c.check(t)
	requireNothingLeft(t, c.d)
}

// requireNothingLeft expects a dispatcher that was shut down to hold no instance, request, lease or timer.
func requireNothingLeft(t *testing.T, d *Dispatcher) {
	t.Helper()
	require.Empty(t, d.instances)
	require.Empty(t, d.Instances())
	for _, f := range d.list() {
		stats := f.pool.Stats()
		require.Zero(t, stats.Live())
		require.Zero(t, stats.InFlight)
		require.Zero(t, stats.Waiting)
		require.Equal(t, stats.Started+stats.Adopted, stats.Ended)
		require.False(t, f.timer.Stop(), "the timer ran")
		for _, e := range f.endpoints.list {
			require.Nil(t, e.instance)
		}
	}
}
