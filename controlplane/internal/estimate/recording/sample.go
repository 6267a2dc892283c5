package recording

import (
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

const (
	// window is kept or left out as a whole, so that requests that came together stay together.
	window = 30 * time.Second
	// enough requests are kept for a simulation of a second or two.
	enough = 30_000
	// mostInWindow bounds memory where a single window has more than enough.
	mostInWindow = 10 * enough
)

// A sample keeps the requests of some windows, chosen by a hash of their time. The zero value keeps all. The more requests come, the
// fewer windows are kept.
type sample struct {
	windows map[int64][]workload.Request // by number; At is within the window
	kept    int
	halved  int // how often half of the windows were left out
}

func (s *sample) add(at time.Time, service time.Duration) {
	number := at.UnixNano() / int64(window)
	if !s.keeps(number) || len(s.windows[number]) >= mostInWindow {
		return
	}
	if s.windows == nil {
		s.windows = map[int64][]workload.Request{}
	}
	within := time.Duration(at.UnixNano() - number*int64(window))
	s.windows[number] = append(s.windows[number], workload.Request{At: within, Service: service})
	s.kept++
	for s.kept > enough && len(s.windows) > 1 {
		s.halve()
	}
}

// halve leaves out half of the windows, but never the last one.
func (s *sample) halve() {
	s.halved++
	for _, number := range slices.Sorted(maps.Keys(s.windows)) {
		if !s.keeps(number) && len(s.windows) > 1 {
			s.kept -= len(s.windows[number])
			delete(s.windows, number)
		}
	}
}

// keeps tells whether a window is kept. Fibonacci hashing spreads the numbers evenly.
func (s *sample) keeps(number int64) bool {
	return s.halved == 0 || uint64(number)*0x9E3779B97F4A7C15>>(64-min(s.halved, 63)) == 0
}

// arrivals returns the requests in order: at their own times if all were kept, else with the windows one after the other.
func (s *sample) arrivals(from time.Time) []workload.Request {
	var out []workload.Request
	first := from.UnixNano() / int64(window)
	for k, number := range slices.Sorted(maps.Keys(s.windows)) {
		place := int64(k)
		if s.halved == 0 {
			place = number - first
		}
		for _, r := range s.windows[number] {
			r.At += time.Duration(place) * window
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b workload.Request) int { return int(a.At - b.At) })
	return out
}

// counts counts requests by minute, and by second while the recording is short. The zero value has counted none.
type counts struct {
	minutes map[int64]int
	seconds map[int64]int // nil once there are too many
	long    bool
}

// shortSeconds is the most seconds that are counted one by one.
const shortSeconds = 1800

func (c *counts) add(at time.Time) {
	if c.minutes == nil {
		c.minutes, c.seconds = map[int64]int{}, map[int64]int{}
	}
	c.minutes[at.Unix()/60]++
	if c.long {
		return
	}
	c.seconds[at.Unix()]++
	if len(c.seconds) > shortSeconds {
		c.seconds, c.long = nil, true
	}
}

// profile returns the rate over time, in steps of a second or a minute. The first and the last minute are not whole: they are left out if
// others have requests.
func (c *counts) profile(from, to time.Time) estimate.Profile {
	if !c.long && to.Sub(from) <= shortSeconds*time.Second {
		return rates(c.seconds, from.Unix(), to.Unix(), time.Second)
	}
	first, last := from.Unix()/60, to.Unix()/60
	if p := rates(c.minutes, first+1, last-1, time.Minute); p.Mean() > 0 {
		return p
	}
	return rates(c.minutes, first, last, time.Minute)
}

func rates(counts map[int64]int, first, last int64, step time.Duration) estimate.Profile {
	p := estimate.Profile{Step: step, Rates: make([]float64, last-first+1)}
	for k := range p.Rates {
		p.Rates[k] = float64(counts[first+int64(k)]) / step.Seconds()
	}
	return p
}
