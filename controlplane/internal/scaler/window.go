package scaler

import "time"

// buckets is how finely a Window forgets.
const buckets = 8

// minWidth keeps a short span from waking its user all the time.
const minWidth = 5 * time.Millisecond

// A Window is the sliding maximum of a level over a span. It is exact about new values, and forgets old ones between one and 8/7
// spans after they ended. Time must not run backwards.
type Window struct {
	width time.Duration
	ring  [buckets]int
	at    int
	end   time.Time // of the current bucket
	level int
}

// NewWindow returns a window over span, with level 0 before the first observation.
func NewWindow(span time.Duration) Window {
	return Window{width: max(span/(buckets-1), minWidth)}
}

// Observe sets the level from now on.
func (w *Window) Observe(now time.Time, level int) {
	if !now.Before(w.end) {
		w.advance(now)
	}
	w.level = level
	w.ring[w.at] = max(w.ring[w.at], level)
}

// Peak is the highest level of the last span.
func (w *Window) Peak(now time.Time) int {
	if !now.Before(w.end) {
		w.advance(now)
	}
	peak := 0
	for _, v := range w.ring {
		peak = max(peak, v)
	}
	return peak
}

// Boundary is when the peak may next fall without an observation.
func (w *Window) Boundary() time.Time { return w.end }

// advance opens new buckets, which start with the level that held meanwhile.
func (w *Window) advance(now time.Time) {
	steps := buckets
	if d := now.Sub(w.end); d < buckets*w.width {
		steps = int(d/w.width) + 1
		w.end = w.end.Add(time.Duration(steps) * w.width)
	} else {
		w.end = now.Add(w.width)
	}
	for range min(steps, buckets) {
		w.at = (w.at + 1) % buckets
		w.ring[w.at] = w.level
	}
}
