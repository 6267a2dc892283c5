package pool

import (
	"iter"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// An InstanceState is where an instance is in its life.
type InstanceState uint8

// States of an instance.
const (
	Starting InstanceState = iota // invoked or registered, not up yet
	Ready                         // up: its free slots may be leased
	Draining                      // gets no lease any more, and finishes those that it has
	Down                          // no request can reach it, or it was given up; its invocation goes on
	Gone                          // its invocation is over
)

// String returns the state as a label.
func (s InstanceState) String() string {
	return [...]string{"starting", "ready", "draining", "down", "gone"}[s]
}

// A Reason says why the pool drains an instance.
type Reason string

// Reasons, with the same text as in the protocol.
const (
	ScaleIn  Reason = "scale_in"
	Rotation Reason = "rotation"
	Rollout  Reason = "rollout"
	Operator Reason = "operator"
	Stopping Reason = "stopping"
	NoEnvoy  Reason = "no_envoy"
	Failing  Reason = "failing"
)

// An Instance is one invocation, or one peer that registered by itself. Its exported fields belong to the caller, the rest
// to its Pool.
type Instance struct {
	ID    string // the caller's name for it
	Owner any    // the caller's; the pool never looks at it

	index     int
	state     InstanceState
	adopted   bool
	inherited bool   // another pool has started it
	shared    bool   // another process may have leased slots of it
	epoch     uint64 // the breaker's epoch when it was started
	price     scaler.Price
	start     *scaler.Start // what the fleet expects of it: that it comes up, later that its environment freezes; nil: nothing

	started time.Time
	took    time.Duration // from its start until its peer first dialled; 0: it has not
	cold    bool          // its start made a new environment
	up      time.Time     // when it was first ready; zero: it never was
	ends    time.Time     // when its invocation ends, and with it what is in flight; zero: never
	margin  Margin        // the margin that its peer was told to keep
	life    time.Duration // from when it was first up until ends
	jitter  float64       // of its rotation, between 0 and 1
	offered int           // slots that its peer offers
	most    int           // the most of them that its former pool leased; 0: not known
	slots   int           // how many of them this pool leases
	exceed  int           // leases when the settings last changed: there may be fewer slots than that
	leases  requestList
	streams int    // leases of streams
	refused int    // leases that its peer has refused
	granted uint64 // leases ever

	pin        string // the version that it was started as; empty: whatever the qualifier pointed to
	version    string // of the code that it runs; empty: not known
	fresh      bool   // it is one that a rollout brings
	stale      bool   // a rollout that would have replaced it ended while it was away
	fleet      *scaler.Fleet
	claims     bool   // a frozen environment was there when it was started
	counts     bool   // its peer counts answers
	answers    uint64 // answers that its peer has counted
	errors     uint64 // of those, 5xx
	tests      tests  // what it has done with its requests since the rollout began
	unanswered unanswered

	judged   scaler.Outcomes // what its peer had counted when it was last judged
	outcomes scaler.Outcomes // of the latest of them
	failing  bool            // it is let go because of its errors

	need        scaler.Need // what it was started for; empty: not known
	environment string      // in which it runs; empty: not known
	reused      bool        // its environment has served before
	heldUntil   time.Time   // when it is drained if no Envoy knows its endpoint then
	dialled     bool        // its peer is there: the start timeout does not run
	wasUp       bool
	startedWell bool      // its peer had dialled before it was inherited: whatever happens now, its start has not failed
	failed      bool      // counted as a failed start
	late        bool      // given up because it was not up in time
	awaitsApp   bool      // its peer is there and waits for the app
	away        bool      // Down, because its relay was gone
	doubted     bool      // Down, because nobody knows whether the pool before has made the start
	final       bool      // it can never be ready again
	reason      Reason    // why we drain it
	drained     time.Time // when its drain began
	killAt      time.Time // when it is killed, if it still drains then
	finished    bool      // told to finish
	killed      bool
	rotating    bool // near its end
	replaced    bool // rotating, and a replacement was started
	replaces    *Instance

	answered time.Time // when its last lease ended; zero: it had none

	deadline timer // of its state
	linger   timer // end of the time that it is kept after its last lease
	review   timer // when slots of it may have become foreign

	pace      scaler.Pace
	cleared   acquittals // trials that did not find it slow
	faultless acquittals // trials that did not find it failing
	slow      bool       // its requests take several times longer than those of others
	aside     bool       // it is slow, and not leased while others are there

	worn bool // its environment ends with it, so it is replaced

	watch      Foreign
	foreign    int  // slots that are taken without a lease; 0 unless it is ready or draining
	legacy     int  // foreign slots that another process has leased, so that a client waits for them
	reportedIn bool // it is shared, and has reported since
	full       bool // its peer has refused a request, and has not reported since
}

// Index is the number of the instance's endpoint. It is unique among instances that are not gone: the lowest that was free when the
// instance was added, and had rested since its last use.
func (i *Instance) Index() int { return i.index }

// State is where the instance is in its life.
func (i *Instance) State() InstanceState { return i.state }

// InFlight is how many leases are out on it.
func (i *Instance) InFlight() int { return i.leases.n }

// Slots is how many requests it may serve at once; 0 before it is up.
func (i *Instance) Slots() int { return i.slots }

// Foreign is how many of its slots are taken although no lease is out on them, as far as its reports show.
func (i *Instance) Foreign() int { return i.foreign }

// Free is how many leases it can take now.
func (i *Instance) Free() int { return i.free() }

// Started is when it was started or adopted.
func (i *Instance) Started() time.Time { return i.started }

// Took is how long its start took until its peer dialled; 0: it has not. What delays it after that is not part of the start.
func (i *Instance) Took() time.Duration { return i.took }

// Up is when it was ready for the first time; zero: it never was.
func (i *Instance) Up() time.Time { return i.up }

// Cold reports whether its start made a new environment. That is known only after its peer has dialled.
func (i *Instance) Cold() bool { return i.cold }

// Claims reports whether a frozen environment was there for it when it was started. The bounds on new environments do not count
// such a start.
func (i *Instance) Claims() bool { return i.claims }

// Adopted reports whether it registered by itself.
func (i *Instance) Adopted() bool { return i.adopted }

// Finished reports whether it was told to finish: nothing is in flight on it, or its time is up.
func (i *Instance) Finished() bool { return i.finished }

// DrainReason is why the pool drains it; empty if it does not, or if the peer drains by its own decision.
func (i *Instance) DrainReason() Reason { return i.reason }

// EndBy says when its invocation will end, if that is known better than by Settings.Lifetime. After the first Up it does nothing.
func (i *Instance) EndBy(t time.Time) {
	if !i.wasUp {
		i.ends = t
	}
}

// Price is what its start has claimed.
func (i *Instance) Price() scaler.Price { return i.price }

// Need is what it was started for; empty if that is not known.
func (i *Instance) Need() scaler.Need { return i.need }

// Pin is the version to invoke; empty: whatever the function's qualifier points to.
func (i *Instance) Pin() string { return i.pin }

// Version is the version of the code that it runs; empty: not known.
func (i *Instance) Version() string { return i.version }

// Runs sets the version of the code that it runs, unless that is already known. It is called before the first Up.
func (i *Instance) Runs(version string) {
	if i.version == "" && (i.took == 0 || i.inherited) {
		i.version = version
	}
}

// In sets the environment in which it runs. After the first Dialled or Up it does nothing.
func (i *Instance) In(environment string) {
	if i.took == 0 {
		i.environment = environment
	}
}

// Reused says that its environment has served before, as its peer knows. After the first Dialled or Up it has no effect.
func (i *Instance) Reused() { i.reused = true }

// Counts says that its peer counts answers when they begin.
func (i *Instance) Counts() { i.counts = true }

// AwaitsApp says that the instance's peer is there and waits for its app. The start timeout runs on.
func (i *Instance) AwaitsApp() { i.awaitsApp = true }

// Late reports whether it was given up because it was not up in time.
func (i *Instance) Late() bool { return i.late }

// Doubted reports whether it is a start of another pool of which nobody knows whether it was made.
func (i *Instance) Doubted() bool { return i.doubted }

// isLast reports whether it is leased after all others, and replaced.
func (i *Instance) isLast() bool { return i.slow || i.worn }

// free is how many leases it can take now.
func (i *Instance) free() int {
	if i.state != Ready || i.full || i.aside {
		return 0
	}
	return max(0, i.slots-i.leases.n-i.foreign)
}

// mayServe reports whether it may still get leases.
func (i *Instance) mayServe() bool {
	return i.state == Starting || i.state == Ready || i.state == Down && !i.final
}

// Leases yields the requests that hold a lease on it, oldest first.
func (i *Instance) Leases() iter.Seq[*Request] {
	return func(yield func(*Request) bool) {
		for r := i.leases.head; r != nil && yield(r); r = r.next {
		}
	}
}

// Instances yields the instances that are not gone, by index.
func (p *Pool) Instances() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		for _, i := range p.table {
			if i != nil && !yield(i) {
				return
			}
		}
	}
}

// rest is how long the index of an instance that is gone is not used again, because Envoy may not have noticed yet that its
// connections to the endpoint of that index have ended.
const rest = time.Second

type restingIndex struct {
	index int
	until time.Time
}

// takeIndex takes the lowest index that is free and has rested.
func (p *Pool) takeIndex(now time.Time) int {
	for len(p.resting) > 0 && !now.Before(p.resting[0].until) {
		p.freeIndex.add(p.resting[0].index)
		p.resting = p.resting[1:]
	}
	index := p.freeIndex.min()
	if index < 0 {
		index = len(p.table)
		p.table = append(p.table, nil)
		return index
	}
	p.freeIndex.remove(index)
	return index
}

// add gives a new instance its index.
func (p *Pool) add(now time.Time, adopted bool) *Instance {
	return p.addAt(p.takeIndex(now), now, adopted)
}

func (p *Pool) addAt(index int, started time.Time, adopted bool) *Instance {
	i := &Instance{index: index, adopted: adopted, started: started, margin: p.settings.Margin}
	i.deadline.of, i.linger.of, i.review.of = i, i, i
	p.table[index] = i
	p.live++
	p.tally(i, 1)
	p.setStartTimeout(i)
	return i
}

func (p *Pool) setStartTimeout(i *Instance) {
	p.timers.unset(&i.deadline)
	if p.settings.StartTimeout > 0 {
		p.timers.set(&i.deadline, i.started.Add(p.settings.StartTimeout))
	}
}

// drop removes an instance whose invocation has ended.
func (p *Pool) drop(now time.Time, i *Instance) {
	p.move(i, Gone)
	p.table[i.index] = nil
	p.resting = append(p.resting, restingIndex{i.index, now.Add(rest)})
	p.live--
	p.lost += i.leases.n
}

// move changes an instance's state and everything that is counted by state. It stops the deadline of the old state.
func (p *Pool) move(i *Instance, to InstanceState) {
	p.timers.unset(&i.deadline)
	p.tally(i, -1)
	if i.state == Ready {
		p.index(i).remove(i.index, i.free())
		p.capacity -= i.slots
		p.busy -= i.leases.n
		p.free -= i.free()
		p.foreign -= i.foreign
		p.stopIdling(i)
		p.stopRotating(i)
		p.outcomes.Sub(i.outcomes)
		p.past.Add(i.outcomes)
		p.past.Fade()
		i.outcomes = scaler.Outcomes{}
		if i.slow {
			p.slow--
		}
	}
	p.lingering.unset(&i.linger)
	p.comeBack(i)
	p.believe(i)
	if i.state == Starting {
		i.fleet.Over(p.now, i.start)
	}
	if i.state == Starting && to != Ready {
		p.loseReplacement(i)
	}
	i.state = to
	if to == Down || to == Gone {
		p.endWatch(i)
	}
	if to == Gone {
		return
	}
	p.tally(i, 1)
	if to == Ready {
		p.beginWatch(i)
		p.index(i).add(i.index, i.free())
		p.capacity += i.slots
		p.busy += i.leases.n
		p.free += i.free()
		p.startIdling(i)
		if i.slow {
			p.slow++
		}
	}
}

// startIdling and stopIdling keep track of the idle instances, which may be drained.
func (p *Pool) startIdling(i *Instance) {
	if i.leases.n == 0 && i.legacy == 0 && !i.adopted && !p.linger(i) {
		p.idle.add(i.index)
		p.nIdle++
		p.idleTaken += i.foreign
	}
}

func (p *Pool) stopIdling(i *Instance) {
	p.lingering.unset(&i.linger)
	if p.idle.has(i.index) {
		p.idle.remove(i.index)
		p.nIdle--
		p.idleTaken -= i.foreign
	}
}

func (p *Pool) tally(i *Instance, n int) {
	p.count[i.state] += n
	if i.claims && i.state == Starting {
		p.claimed += n
	}
	if i.adopted {
		p.adopted[i.state] += n
	}
	if i.inherited {
		p.inherited[i.state] += n
	}
	if i.fresh {
		p.fresh[i.state] += n
	}
}

// startsInProgress counts the starting instances that we started.
func (p *Pool) startsInProgress() int { return p.count[Starting] - p.adopted[Starting] }
