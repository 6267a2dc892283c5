package scaler

import (
	"math"
	"time"
)

// ledgerMemory is how fast a Ledger forgets: after that time a bill counts for 1/e.
const ledgerMemory = time.Minute

// A Ledger compares what instances have cost lately with what plain Lambda would have cost, which serves one request per
// environment. Both are in billed time. Starts in new environments are left out, because both have them.
type Ledger struct {
	at               time.Time
	serving, leased  int
	starts, arrivals uint64
	ours, plain      float64 // seconds
}

// Observe is called with the state after each event.
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

// Turns is when Dearer becomes true if nothing happens until then; zero: it does not. Both bills fade meanwhile.
func (l *Ledger) Turns() time.Time {
	lead, idle := l.plain-l.ours, float64(l.serving-l.leased)
	if lead < 0 || idle <= 0 {
		return time.Time{}
	}
	memory := ledgerMemory.Seconds()
	return l.at.Add(time.Duration(memory*math.Log1p(lead/idle/memory)*float64(time.Second)) + time.Millisecond)
}

// Dearer reports whether plain Lambda would have been cheaper lately. Then requests are so short or so rare that nothing should be
// spent on idle instances.
func (l *Ledger) Dearer() bool { return l.ours > l.plain }
