// Package scaler decides how many instances a function should have, and when a start must wait. It is pure: time is an
// argument, nothing blocks, and nothing but a Budget is safe for concurrent use.
//
// Policy and mechanism are apart. A Rule looks at a State and says what it would like (Want); Guards say how much of
// that may happen now, whatever the rule; the pool carries it out. A new policy can therefore be wrong about latency
// and cost, but it cannot make starts run away.
package scaler

import "time"

// Settings bound and shape the instances of one function.
type Settings struct {
	Min int // instances kept ready
	// Max bounds the instances that exist, draining ones included. Those that rotate or drain may exceed it, by Surge at
	// most. With 0 nothing is ever started.
	Max              int
	Environments     int        // that may exist, running and frozen, rotation included; 0: no bound
	StartsInProgress int        // starts not yet up, at most; with 0 nothing is ever started
	StartsPerSecond  float64    // refill of the token bucket that every start draws on
	StartsBurst      int        // size of that bucket
	Preference       Preference // between cost and latency
	Policy           Policy     // nil: Frugal, as Preference asks
	DollarsPerHour   float64    // what all instances may cost together; 0: no ceiling
	Total            *Budget    // what they may cost together with those of other functions; nil: no ceiling
	Account          *Budget    // the instances that they and those of other functions in the same account and region may be, of NewPlaces; nil: not known
	Price            Price      // of an instance
}

// Surge is by how many instances Max may be exceeded, so that a replacement can serve before the old instance stops, and
// while that finishes its requests: a quarter of Max, at least one.
func (s Settings) Surge() int { return max(1, s.Max/4) }

// Most is how many instances may serve at once.
func (s Settings) Most() int {
	if s.Environments > 0 {
		return min(s.Max, s.Environments)
	}
	return s.Max
}

// Never reports whether these settings forbid all starts: peers come by themselves, or not at all.
func (s Settings) Never() bool { return s.Max <= 0 || s.StartsInProgress <= 0 || s.StartsBurst <= 0 }

// A State is what a rule may look at. Ready, Idle, Starting, Rotating and Unreplaced count instances; Waiting, Free and
// Leased count requests and slots.
type State struct {
	Min, Max    int
	Concurrency int // slots of one instance
	Waiting     int
	Oldest      time.Time // when the one came that waits longest
	Free        int
	Leased      int // on ready instances
	Foreign     int // slots that are taken without a lease, on ready instances that have leases as well
	Live        int // that exist, in whatever state
	Ready       int // rotating ones included
	Adopted     int // of the ready ones, those that we did not start
	Idle        int // of the ready ones that we started, those without a lease
	Starting    int
	Rotating    int // ready, but near the end of their lifetime
	Unreplaced  int // of those, the ones with no replacement on its way

	Unreachable bool   // no Envoy or no relay is there that could send requests to what is started now
	Failing     bool   // the last start failed
	Renewing    bool   // instances are being replaced by others or were taken over, now or just before: no time to fill a reserve
	Arrivals    uint64 // requests that came, ever
	Departures  uint64 // of those, the ones whose lease has ended
	Starts      uint64 // that were made, ever
	Fleet       *Fleet // what is known about environments

	Fee time.Duration // how long an instance could run for what a start costs beside its time
}

// demand is how many slots are asked for now.
func (s *State) demand() int { return s.Leased + s.Waiting }

// taken is how many slots are asked for now or cannot be had.
func (s *State) taken() int { return s.demand() + s.Foreign }

// waited is for how long the oldest waiter has.
func (s *State) waited(now time.Time) time.Duration {
	if s.Waiting == 0 || s.Oldest.IsZero() {
		return 0
	}
	return now.Sub(s.Oldest)
}

// A Want is what a rule would like to happen. No field is negative.
type Want struct {
	Start   int // new instances, for waiters or for Min
	Replace int // more of them, each in place of an unreplaced rotating one
	Drain   int // ready instances that are surplus; idle ones go first
}

// A Rule says how many instances to start and to drain. It belongs to one pool.
type Rule interface {
	// Decide is called after every event, so it must be quick, and it must not want again what it already sees in
	// State.Starting. The State is the caller's.
	Decide(now time.Time, s *State) Want
	// Next is when the answer may change although nothing happens; zero: never. It is later than the last Decide.
	Next() time.Time
}

// A Policy makes the rule of one pool.
type Policy func(Settings) Rule

// NewRule makes the rule that the settings ask for.
func NewRule(s Settings) Rule {
	if s.Policy != nil {
		return s.Policy(s)
	}
	return Frugal(s.Preference.Tuning())(s)
}

// Reconfigured is the rule for other settings: the same one, with all that it has learned, unless the settings bring a policy of
// their own.
func Reconfigured(r Rule, s Settings) Rule {
	f, ours := r.(*frugal)
	if !ours || s.Policy != nil {
		return NewRule(s)
	}
	f.tuning, f.most = s.Preference.Tuning(), s.StartsInProgress
	return f
}

// replace is how many rotating instances must be replaced so that keep instances last.
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
