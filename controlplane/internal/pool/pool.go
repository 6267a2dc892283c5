// Package pool decides for one function which instance serves which request, and which requests wait. It carries out what package
// scaler wants. It is a state machine with no goroutine, clock, lock, log or network: every method takes the time and returns what
// to do, so that the server, the property tests and the simulator drive the same code.
//
// A Pool belongs to one caller at a time. Its invariants are in Check.
package pool

import (
	"math/rand/v2"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Settings configure a Pool. Configure changes all but Spread, Seed and Scaling.Total.
type Settings struct {
	Concurrency  int           // slots asked for of each instance; at least 1
	Learn        bool          // slots are as many as the app serves well at once, and at most Concurrency
	QueueLimit   int           // requests that may wait; with 0 nothing waits, and so nothing starts but Scaling.Min
	QueueTimeout time.Duration // how long a request may wait; 0: for ever
	FirstByte    time.Duration // how long a request may wait for the beginning of its answer; 0: for ever
	StartTimeout time.Duration // a start that takes longer has failed; 0: it may take for ever
	Linger       time.Duration // how long an instance is kept after its last lease, because its app may work on
	// DrainTimeout is how long an instance may drain before Kill, if it has no end of its own, if its leases have all ended, or
	// after Close.
	DrainTimeout time.Duration
	Spread       bool          // lease from the emptiest instance; otherwise from the fullest that has a free slot
	Lifetime     time.Duration // from an instance's start to the end of its invocation, unless EndBy says otherwise; 0: for ever
	Margin       Margin
	Rollout      rollout.Plan // of rollouts that begin by themselves
	Scaling      scaler.Settings
	Seed         uint64 // for jitter
}

// Effects is what the caller must do after an event. It and its slices belong to the Pool, and are valid until the next call of any
// method that returns Effects.
type Effects struct {
	Dispatched []*Request  // waited, and now hold a lease; oldest first
	Evicted    []*Request  // waited, and left the queue unserved: see Request.Cause
	Start      []*Instance // to be invoked: exactly one Ended must follow for each
	Drain      []*Instance // get no lease any more: see Instance.DrainReason
	// Finish are draining instances to send the order to finish, also those that began to drain by themselves. They have no
	// lease any more, or no time left.
	Finish  []*Instance
	Kill    []*Instance // past their deadline: cut all their connections
	Rollout []Progress  // each step of a rollout in this event, its end included
}

func (e *Effects) reset() {
	e.Dispatched = recycle(e.Dispatched)
	e.Evicted = recycle(e.Evicted)
	e.Start = recycle(e.Start)
	e.Drain = recycle(e.Drain)
	e.Finish = recycle(e.Finish)
	e.Kill = recycle(e.Kill)
	e.Rollout = e.Rollout[:0]
}

// recycle empties s without keeping alive what it pointed to.
func recycle[T any](s []*T) []*T {
	clear(s)
	return s[:0]
}

// A Pool holds the instances and the queue of one function.
type Pool struct {
	settings Settings
	rule     scaler.Rule
	rand     *rand.Rand

	now     time.Time // of the latest event; never runs backwards
	effects Effects
	leased  bool  // a slot was leased in this event
	closed  Cause // why arrivals are rejected since Close

	unreachable bool      // no Envoy is connected
	relayless   bool      // no relay is attached
	back        time.Time // when peers should have dialled again a relay that has come back
	away        int       // instances that are Down because their relay was gone
	doubted     int       // starts of another pool of which nobody knows whether they were made
	retiring    bool      // Close follows
	resumed     time.Time // when another process last decided
	held        time.Time // until then requests come back that were held before that
	shares      bool      // another process had leased slots then
	unasked     bool      // no request has come since this pool took over
	asked       bool      // a request has come since an Envoy's stream last began or ended
	kept        time.Time // until then idle instances are kept for what was asked on a stream that has ended
	onHold      bool      // instances are not all known yet, so nothing is decided

	exceeded struct{ waiting, starting, live int } // how many there were when the settings last changed: limits may be lower

	queue    requestList
	returned int           // requests in the queue that an instance has refused
	inFlight int           // leases, those on instances that are gone included
	lost     int           // leases on instances that are gone
	waited   time.Duration // how long the request waited that was leased last

	table       []*Instance // by index; nil where free
	freeIndex   indexSet
	resting     []restingIndex // soonest over first
	live        int
	count       [Gone]int            // live instances by state
	adopted     [Gone]int            // those that registered by themselves
	inherited   [Gone]int            // those that another pool has started
	fresh       [Gone]int            // those that a rollout brings
	claimed     int                  // starts in progress for which a frozen environment was there
	capacity    int                  // slots of ready instances
	busy        int                  // leases on them
	foreign     int                  // slots of ready instances that are taken without a lease
	idleTaken   int                  // those of idle instances
	free        int                  // slots of ready instances that can be leased
	open        slotIndex            // ready instances with a free slot that are not in the next three
	openFresh   slotIndex            // fresh ones
	openSlow    slotIndex            // slow and worn ones
	openStreams slotIndex            // those that have streams
	slow        int                  // ready instances that are slow
	foundSlow   map[string]time.Time // environments that were found slow, and when
	paces       scaler.Pace          // of all requests
	trial       *trial               // nil: none is under way
	outcomes    scaler.Outcomes      // of ready instances
	past        scaler.Outcomes      // of those that were ready
	failed      []time.Time          // when instances were let go because of their errors
	looked      int                  // the index of the instance that was looked at last, whether it seems slow
	idle        indexSet             // ready instances without a lease that we started and that need not linger
	nIdle       int
	timers      timers // deadlines of instances
	lingering   timers // ends of the time that they are kept after their last lease
	reviews     timers // when foreign slots must be counted again

	guards     *scaler.Guards
	fleet      *scaler.Fleet
	limiter    *scaler.Limiter // learns slots per instance; nil if they are configured
	single     *Instance       // serves one request at a time, as a yardstick for the limiter; nil: none does
	tail       scaler.Tail     // learns how long the longest requests take
	usual      rollout.Sample  // how long requests take on code that is not being tried, streams left out
	state      scaler.State    // as the rule sees it
	block      scaler.Block    // why the last wanted start was not made
	rotating   int             // ready instances near their end
	unreplaced int             // rotating instances without a replacement on its way
	unticked   bool            // Tick has not been called yet, so Min was not looked at
	counters   counters

	route    Route         // of new instances; during a rollout the old one
	roll     *renewal      // nil: no rollout is under way
	peak     scaler.Window // how many instances requests in flight filled
	rejected Route         // the route whose rollout was given up; the zero Route: none was
	seen     []string      // versions that are expected where Lambda chooses them; at most maxSeen
	lastRoll Progress
}

// New returns an empty pool. If Min is set, Next is due at once.
func New(s Settings) *Pool {
	s.Concurrency = max(1, s.Concurrency)
	p := &Pool{
		settings:  s,
		rule:      scaler.NewRule(s.Scaling),
		rand:      rand.New(rand.NewPCG(s.Seed, 1)),
		foundSlow: map[string]time.Time{},
		guards:    scaler.NewGuards(s.Scaling, s.Seed),
		fleet:     scaler.NewFleet(),
		unticked:  s.Scaling.Min > 0,
	}
	p.unlist()
	p.peak = scaler.NewWindow(time.Minute)
	if s.Learn {
		p.limiter = scaler.NewLimiter(s.Concurrency)
	}
	return p
}

// enter begins an event, and returns its time. A clock that runs backwards is taken to stand still.
func (p *Pool) enter(now time.Time) time.Time {
	p.effects.reset()
	p.leased = false
	if now.After(p.now) {
		p.now = now
	}
	return p.now
}
