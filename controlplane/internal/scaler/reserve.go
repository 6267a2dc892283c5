package scaler

import (
	"math"
	"time"
)

// An environment in reserve is worth its start if the peak that needs it is likely enough to come again. The past says how
// likely: the highest demand in each of the last windows, each as long as a frozen environment is relied on.
const (
	peakWindow  = SurelyFrozen
	peakWindows = 6
)

// Peaks remembers how many slots were needed at once in each of the last windows.
type Peaks struct {
	past  [peakWindows]int // a ring
	full  int              // how many of past are set
	at    int              // index in past that is overwritten next
	most  int              // in the present window
	begun time.Time
}

// Observe says how many slots are needed now.
func (p *Peaks) Observe(now time.Time, slots int) {
	if p.begun.IsZero() {
		p.begun = now
	}
	for n := 0; n < peakWindows && now.Sub(p.begun) >= peakWindow; n++ {
		p.close(p.begun.Add(peakWindow))
	}
	if now.Sub(p.begun) >= peakWindow {
		p.begun = now // all windows since are of rest
	}
	p.most = max(p.most, slots)
}

func (p *Peaks) close(now time.Time) {
	p.past[p.at] = p.most
	p.at = (p.at + 1) % peakWindows
	p.full = min(p.full+1, peakWindows)
	p.most, p.begun = 0, now
}

// Most is the highest demand that is remembered.
func (p *Peaks) Most() int {
	most := p.most
	for _, m := range p.past[:p.full] {
		most = max(most, m)
	}
	return most
}

// Chance is how likely more slots than that are needed within the time of a window, from 0 to 1. For more than was ever seen, twice
// the demand is taken to be a quarter as likely, which is a heavier tail than most functions have.
func (p *Peaks) Chance(slots int) float64 {
	most := p.Most()
	if most == 0 {
		return 0
	}
	seen := math.Pow(min(1, float64(most)/float64(slots+1)), 2)
	windows := 1.0
	if p.most > slots {
		seen, windows = seen+1, windows+1
	}
	for _, m := range p.past[:p.full] {
		if windows++; m > slots {
			seen++
		}
	}
	return seen / windows
}

// reserve is how many instances to start only so that their environments are frozen when a peak, or a higher one, comes again.
// Then no request waits for a cold start. All frozen environments must be started with them, because Lambda makes a new one only
// when all others are in use. While starts fail, or none has succeeded yet, the reserve is not filled.
func (f *frugal) reserve(now time.Time, s *State) int {
	if f.tuning.Reserve < 0 || s.Starting > 0 || s.Failing || s.Renewing || s.Unreachable || !s.Fleet.Known() {
		return 0
	}
	if now.Before(f.calm) {
		f.next = sooner(f.next, f.calm)
		return 0
	}
	have := s.Fleet.Frozen(now) + s.Live
	need := f.worthwhile(now, s, have)
	if have >= need {
		f.pace = 0
		f.next = sooner(f.next, s.Fleet.Until(now))
		return 0
	}
	if now.Before(f.again) {
		f.next = sooner(f.next, f.again)
		return 0
	}
	f.pace = min(max(attemptsAfter, 2*f.pace), s.Fleet.Relied())
	f.again = now.Add(f.pace)
	return f.beyond(s.Fleet.Spare(now), need-s.Live)
}

// leastRestart is how many times its init an environment in reserve is worth at least, if it is needed, whatever a wait is worth. What
// renews an environment mostly finds it, and costs a warm start, not the init that worthwhile expects.
const leastRestart = 3

// worthwhile is how many environments there should be. An init costs the same now or later. So an environment in reserve wastes its
// init if it is never needed, and saves the wait if it is. The cost of starting the frozen ones with it counts too.
func (f *frugal) worthwhile(now time.Time, s *State, have int) int {
	init := s.Fleet.Cold.Mean(assumedCold) + s.Fee
	saved := float64(init) + (max(f.tuning.Restart, leastRestart)-1)*float64(s.Fleet.Cold.Mean(assumedCold))
	best, need := 0.0, have
	gain := -float64(s.Fleet.Frozen(now)) * float64(s.Fleet.Warm.Mean(assumedWarm)+s.Fee)
	most := min(s.Max, ceilDiv(f.peaks.Most(), s.Concurrency))
	most = min(s.Max, most+int(math.Ceil(f.tuning.Reserve*float64(most))))
	if f.tuning.Reserve == 0 && most > have {
		most = min(most, have+s.Fleet.maybeThere())
	}
	for n := have + 1; n <= most; n++ {
		gain += within(s.Fleet.Relied(), f.peaks.Chance((n-1)*s.Concurrency))*saved - float64(init)
		if gain > best {
			best, need = gain, n
		}
	}
	return need
}

// within is how likely it is in so short a time what has that chance in a window.
func within(span time.Duration, chance float64) float64 {
	if span >= peakWindow {
		return chance
	}
	return 1 - math.Pow(1-chance, float64(span)/float64(peakWindow))
}

// beyond is how many starts to make so that up to n environments run, if frozen of them are frozen; 0 if none would be new. It
// leaves one start to spare, so that a request that comes meanwhile does not wait for the reserve.
func (f *frugal) beyond(frozen, n int) int {
	if f.most > 0 {
		n = min(n, frozen+f.most-1)
	}
	if n <= frozen {
		return 0
	}
	return n
}
