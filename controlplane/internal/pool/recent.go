package pool

import "time"

// A recent remembers how high a level was in each of the last moments, the present one included.
const (
	moment  = 4 * time.Millisecond
	moments = 128
)

type recent struct {
	origin  time.Time      // moments are counted from here, so that setting the clock moves none
	highest [moments]int32 // by moment, modulo their number
	at      int64          // number of the present moment
	level   int32
}

// reset sets the level for the present and for all moments before.
func (r *recent) reset(now time.Time, level int) {
	r.origin = now.Add(-moments*moment - time.Duration(now.UnixNano()%int64(moment)))
	r.at, r.level = r.moment(now), int32(level)
	for k := range r.highest {
		r.highest[k] = r.level
	}
}

// set changes the level from now on.
func (r *recent) set(now time.Time, level int) {
	r.pass(now)
	r.level = int32(level)
	here := &r.highest[r.at%moments]
	*here = max(*here, r.level)
}

// most is the highest level since then, as far as it is remembered.
func (r *recent) most(now, since time.Time) int {
	r.pass(now)
	most := r.level
	for at := max(r.moment(since), r.at-moments+1); at < r.at; at++ {
		most = max(most, r.highest[at%moments])
	}
	return int(max(most, r.highest[r.at%moments]))
}

// pass fills the moments until now with the level.
func (r *recent) pass(now time.Time) {
	at := r.moment(now)
	for n := max(r.at, at-moments) + 1; n <= at; n++ {
		r.highest[n%moments] = r.level
	}
	r.at = max(r.at, at)
}

// moment is the number of the moment that holds t.
func (r *recent) moment(t time.Time) int64 { return int64(t.Sub(r.origin) / moment) }
