package scaler

import "time"

// How long a frozen environment is relied on, and how long it may yet be seen again. Lambda does not publish when it gives
// them up; observers report 5 to 15 minutes.
const (
	SurelyFrozen = 290 * time.Second
	maybeFrozen  = 30 * time.Minute
)

// The longest starts that are learned from. Lambda needs no such times: what takes longer is a network that failed, or a
// machine that stood still, and says nothing about the next start.
const (
	longestWarm = time.Second
	longestCold = 2 * time.Minute
)

// A Fleet is what a pool learns about the environments that its instances run in, and about how long starts take.
type Fleet struct {
	Warm Estimate // from start to up, in an environment that was there
	Cold Estimate // in a new one

	frozen map[string]time.Time // since when; the zero time: it runs
	sure   freezes              // oldest first, as is maybe; those that ran since are skipped
	maybe  freezes
	count  int // of sure, without those that ran since
}

type freeze struct {
	environment string
	at          time.Time
}

type freezes []freeze

// NewFleet returns a fleet that has seen nothing.
func NewFleet() *Fleet { return &Fleet{frozen: map[string]time.Time{}} }

// Up says that an instance runs in an environment, and how long it took to come up.
func (f *Fleet) Up(now time.Time, environment string, took time.Duration) {
	f.forget(now)
	since, known := f.frozen[environment]
	if known && !since.IsZero() && now.Sub(since) < SurelyFrozen {
		f.count--
	}
	f.frozen[environment] = time.Time{}
	if known {
		f.Warm.Add(min(took, longestWarm))
	} else {
		f.Cold.Add(min(took, longestCold))
	}
}

// Ended says that an environment's invocation is over. It is frozen, unless it crashed.
func (f *Fleet) Ended(now time.Time, environment string, crashed bool) {
	since, known := f.frozen[environment]
	if !known || !since.IsZero() {
		return
	}
	if crashed {
		delete(f.frozen, environment)
		return
	}
	f.frozen[environment] = now
	f.sure = append(f.sure, freeze{environment, now})
	f.count++
}

// Known reports whether any start has succeeded.
func (f *Fleet) Known() bool { return f.Cold.n > 0 }

// Frozen is how many environments are surely there for warm starts.
func (f *Fleet) Frozen(now time.Time) int {
	f.forget(now)
	return f.count
}

// Until is when Frozen will be less if nothing happens; zero: it is none.
func (f *Fleet) Until(now time.Time) time.Time {
	f.forget(now)
	if len(f.sure) == 0 {
		return time.Time{}
	}
	return f.sure[0].at.Add(SurelyFrozen)
}

// forget drops what was frozen for too long.
func (f *Fleet) forget(now time.Time) {
	for len(f.sure) > 0 {
		oldest := f.sure[0]
		if still := f.frozen[oldest.environment].Equal(oldest.at); still {
			if now.Sub(oldest.at) < SurelyFrozen {
				break
			}
			f.count--
			f.maybe = append(f.maybe, oldest)
		}
		f.sure = f.sure[1:]
	}
	for len(f.maybe) > 0 && now.Sub(f.maybe[0].at) >= maybeFrozen {
		if oldest := f.maybe[0]; f.frozen[oldest.environment].Equal(oldest.at) {
			delete(f.frozen, oldest.environment)
		}
		f.maybe = f.maybe[1:]
	}
}

// An Estimate is a mean that forgets: each value counts for an eighth, as in TCP's round trip time, but the first ones
// for more.
type Estimate struct {
	mean float64
	n    int
}

// Add takes in a value.
func (e *Estimate) Add(d time.Duration) {
	e.n = min(e.n+1, 8)
	e.mean += (float64(d) - e.mean) / float64(e.n)
}

// Mean is the estimate, or what else to assume if there was no value.
func (e *Estimate) Mean(otherwise time.Duration) time.Duration {
	if e.n == 0 {
		return otherwise
	}
	return time.Duration(e.mean)
}
