package bill

import "time"

// A level adds up the ages of what is under way, without a list of it. It counts in whole nanoseconds, so that what ends
// takes away exactly what it has added.
type level struct {
	n     int
	at    time.Time // of the latest event
	total total     // of all ages, at that time
}

// begin and end take a clock that runs backwards for one that stands still.
func (l *level) begin(now time.Time) {
	l.advance(now)
	l.n++
	l.total.add(l.at.Sub(now), 1)
}

// end takes out what began then.
func (l *level) end(now, began time.Time) {
	l.advance(now)
	l.n--
	l.total.add(l.at.Sub(began), -1)
}

// ages is the sum of all ages.
func (l *level) ages(now time.Time) total {
	t := l.total
	t.add(max(0, now.Sub(l.at)), l.n)
	return t
}

func (l *level) advance(now time.Time) {
	l.total = l.ages(now)
	if now.After(l.at) {
		l.at = now
	}
}
