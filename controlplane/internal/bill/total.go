package bill

import "time"

// Seconds is a sum of times. A time.Duration ends at 292 years, which a thousand requests at once pass in four months.
type Seconds = float64

// A total is an exact sum of times, in seconds and nanoseconds: what is added and taken away again leaves nothing, and
// no sum of a function's life overflows.
type total struct {
	seconds int64
	nanos   int64 // below a second
}

// add adds d, n times; either may be negative.
func (t *total) add(d time.Duration, n int) {
	t.seconds += int64(n) * int64(d/time.Second)
	t.nanos += int64(n) * int64(d%time.Second)
	if t.nanos >= int64(time.Second) || t.nanos <= -int64(time.Second) {
		t.seconds += t.nanos / int64(time.Second)
		t.nanos %= int64(time.Second)
	}
}

func (t total) sum() Seconds {
	return Seconds(t.seconds) + time.Duration(t.nanos).Seconds()
}

// mean of n times.
func (t total) mean(n uint64) Seconds {
	if n == 0 {
		return 0
	}
	return t.sum() / Seconds(n)
}
