// Package scaler decides how many instances a function should have, and when a start must wait. It is pure: time is an argument,
// and nothing blocks. Nothing but a Budget is safe for concurrent use.
//
// Policy and mechanism are separate. A Rule looks at a State and says what it would like (Want). Guards say how much of that may
// happen now. The pool carries it out. So a new policy can be wrong about latency and cost, but it cannot make starts run away.
package scaler

import "time"

// Settings bound and shape the instances of one function.
type Settings struct {
	Min int // instances kept ready
	// Max bounds the instances that exist, draining ones included. Rotating and draining instances may exceed it by at most
	// Surge. With 0 nothing is ever started.
	Max              int
	Environments     int        // the most that may exist, running and frozen, rotation included; 0: no bound
	StartsInProgress int        // the most starts that are not up yet; with 0 nothing is ever started
	StartsPerSecond  float64    // refill of the token bucket that bounds starts in new environments
	StartsBurst      int        // size of that bucket
	Preference       Preference // between cost and latency
	Policy           Policy     // nil: Frugal with the tuning of Preference
	DollarsPerHour   float64    // ceiling for all instances of the function; 0: none
	Total            *Budget    // ceiling in dollars that functions share; nil: none
	Account          *Budget    // ceiling in instances that functions of an account and region share, of NewPlaces; nil: not known
	Price            Price      // of an instance
}

// Surge is how many instances may exist beyond Max, so that a replacement can serve while the old instance finishes its requests: a
// quarter of Max, and at least one.
func (s Settings) Surge() int { return max(1, s.Max/4) }

// Most is how many instances may serve at once.
func (s Settings) Most() int {
	if s.Environments > 0 {
		return min(s.Max, s.Environments)
	}
	return s.Max
}

// Never reports whether these settings forbid all starts.
func (s Settings) Never() bool { return s.Max <= 0 || s.StartsInProgress <= 0 || s.StartsBurst <= 0 }

// A State is what a rule may look at. Ready, Idle, Starting, Rotating and Unreplaced count instances; Waiting, Free and
// Leased count requests and slots.
type State struct {
	Min, Max    int
	Concurrency int // slots of one instance
	Waiting     int
	Oldest      time.Time // when the oldest waiter came
	Free        int
	Leased      int // on ready instances
	Foreign     int // slots that are taken without a lease, on ready instances that are not idle
	Live        int // instances that exist, in whatever state
	Ready       int // rotating ones included
	Adopted     int // ready instances that we did not start
	Idle        int // ready instances that we started and that have no lease
	Starting    int
	Rotating    int // ready instances near the end of their lifetime
	Unreplaced  int // rotating ones with no replacement on its way

	Unreachable bool   // no Envoy or no relay is connected, so an instance that starts now could not serve
	Failing     bool   // the last start failed
	Renewing    bool   // instances are or were just replaced or taken over, so the reserve must not be filled now
	Arrivals    uint64 // requests that have come since the beginning
	Departures  uint64 // requests whose lease has ended since the beginning
	Starts      uint64 // starts since the beginning
	Fleet       *Fleet // what is known about environments

	Fee time.Duration // how long an instance could run for what a start costs
}

// demand is how many slots requests need now.
func (s *State) demand() int { return s.Leased + s.Waiting }

// taken is demand and foreign slots.
func (s *State) taken() int { return s.demand() + s.Foreign }

// waited is how long the oldest waiter has waited.
func (s *State) waited(now time.Time) time.Duration {
	if s.Waiting == 0 || s.Oldest.IsZero() {
		return 0
	}
	return now.Sub(s.Oldest)
}

// A Want is what a rule would like to happen. No field is negative.
type Want struct {
	Start   int  // new instances
	For     Need // what most of them are for; empty: the rule does not say
	Replace int  // further new instances, each in place of an unreplaced rotating one
	Drain   int  // ready instances that are surplus; idle ones drain first
}

// start wants n new instances in all for a need, if no other one has wanted as many.
func (w *Want) start(n int, need Need) {
	if n > w.Start {
		w.Start, w.For = n, need
	}
}

// A Need says what an instance is started for; also in logs.
type Need string

// Needs.
const (
	ForWaiters  Need = "waiting"  // requests wait
	ForHeadroom Need = "headroom" // slots are held free for what demand moves
	ForBeat     Need = "beat"     // a crowd is about to come, as others at regular times have
	ForMin      Need = "min"      // instances are always kept
	ForReserve  Need = "reserve"  // an environment is to be frozen when a peak comes again
	ForRotation Need = "rotation" // another instance is near its end, worn, slow or failing
	ForRollout  Need = "rollout"  // of a version of the code
)

// A Rule says how many instances to start and to drain. It belongs to one pool.
type Rule interface {
	// Decide is called after every event, so it must be quick. It must not want again what State.Starting already has. It must
	// not keep s.
	Decide(now time.Time, s *State) Want
	// Next is when the answer of Decide may change without an event; zero: never. It is later than the last Decide.
	Next() time.Time
}

// A Policy makes the rule of one pool.
type Policy func(Settings) Rule

// NewRule makes the rule for the settings.
func NewRule(s Settings) Rule {
	if s.Policy != nil {
		return s.Policy(s)
	}
	return Frugal(s.Preference.Tuning())(s)
}

// Reconfigured is the rule for other settings. It is the same one, with what it has learned, unless the settings have a Policy.
func Reconfigured(r Rule, s Settings) Rule {
	f, ours := r.(*frugal)
	if !ours || s.Policy != nil {
		return NewRule(s)
	}
	f.tuning, f.most = s.Preference.Tuning(), s.StartsInProgress
	return f
}

// replace is how many rotating instances must be replaced so that keep instances remain.
func (s *State) replace(keep, start int) int {
	lasting := s.Ready - s.Rotating + s.Starting + start
	return min(max(0, keep-lasting), s.Unreplaced)
}

// ceilDiv is n/d rounded up, and 0 for negative n.
func ceilDiv(n, d int) int {
	if n <= 0 {
		return 0
	}
	return (n + d - 1) / d
}
