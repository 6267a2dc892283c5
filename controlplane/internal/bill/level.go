package bill

import "time"

// A level adds up the ages of what is under way, without a list of it. It counts in whole nanoseconds, so that what ends
// takes away exactly what it has added.
type level struct {
	n     int
	at    time.Time     // of the latest event
	total time.Duration // of all ages, at that time
}

// begin and end take a clock that runs backwards for one that stands still.
func (l *level) begin(now time.Time) {
	l.advance(now)
	l.n++
	l.total += l.at.Sub(now)
}

// end takes out what began then.
func (l *level) end(now, began time.Time) {
	l.advance(now)
	l.n--
	l.total -= l.at.Sub(began)
}

// ages is the sum of all ages.
func (l *level) ages(now time.Time) time.Duration {
	return l.total + time.Duration(l.n)*max(0, now.Sub(l.at))
}

func (l *level) advance(now time.Time) {
	l.total = l.ages(now)
	if now.After(l.at) {
		l.at = now
	}
}
