package scaler

import (
	"math"
	"time"
)

// ledgerMemory is how fast a Ledger forgets: after that time a bill counts for a third.
const ledgerMemory = time.Minute

// A Ledger compares what instances cost lately with what plain Lambda would have, one request an environment, both in time
// that is billed. Starts in a new environment are left out: both make them.
type Ledger struct {
	at               time.Time
	serving, leased  int
	starts, arrivals uint64
	ours, plain      float64 // seconds
}

// Observe takes in the state after an event.
func (l *Ledger) Observe(now time.Time, s *State) {
	if d := now.Sub(l.at).Seconds(); d > 0 && !l.at.IsZero() {
		keep := math.Exp(-d / ledgerMemory.Seconds())
		l.ours = l.ours*keep + float64(l.serving)*d
		l.plain = l.plain*keep + float64(l.leased)*d
	}
	l.ours += float64(s.Starts-l.starts) * s.Fee.Seconds()
	l.plain += float64(s.Arrivals-l.arrivals) * s.Fee.Seconds()
	l.at, l.serving, l.leased = now, s.Live-s.Starting, s.Leased
	l.starts, l.arrivals = s.Starts, s.Arrivals
}

// Dearer reports whether plain Lambda would have been cheaper lately: requests are so short, or so rare, that nothing may be
// spent on instances that do nothing.
func (l *Ledger) Dearer() bool { return l.ours > l.plain }
