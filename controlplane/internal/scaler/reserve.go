package scaler

import (
	"math"
	"time"
)

// A peak is worth an environment in reserve if it is likely enough to come again, for what its start costs. The past says
// how likely: the highest demand of each of the last windows, as long as a frozen environment is relied on.
const (
	peakWindow  = SurelyFrozen
	peakWindows = 6
)

// Peaks remembers the most slots that were needed at once in each of the last windows.
type Peaks struct {
	past  [peakWindows]int
	full  int // of past, the windows that are over
	at    int // of past, the one that is overwritten next
	most  int // in this window
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
		p.begun = now // all that is remembered is of rest
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

// Chance is how likely more slots than that are needed within a window's time. What was never seen is judged by how much more
// it is: demand twice as high is a quarter as likely, which is a tail that few functions exceed.
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

// reserve is how many instances to start only so that their environments are there, frozen, when a peak comes again, or a
// higher one: nobody waits for a cold start then. It takes a start of everything that does not run, because Lambda makes a
// new environment only when all others are in use. Where no start has succeeded, or starts fail, there is none.
func (f *frugal) reserve(now time.Time, s *State) int {
	if f.tuning.Reserve == 0 || s.Starting > 0 || s.Failing || s.Renewing || s.Unreachable || !s.Fleet.Known() {
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

// worthwhile is how many environments there should be. An init costs the same now or when somebody waits for it; so one in
// reserve costs its init if it is never needed, and saves the wait if it is. Those that are frozen must be started as well.
func (f *frugal) worthwhile(now time.Time, s *State, have int) int {
	init := s.Fleet.Cold.Mean(assumedCold) + s.Fee
	saved := float64(init) + (f.tuning.Restart-1)*float64(s.Fleet.Cold.Mean(assumedCold))
	best, need := 0.0, have
	gain := -float64(s.Fleet.Frozen(now)) * float64(s.Fleet.Warm.Mean(assumedWarm)+s.Fee)
	most := min(s.Max, ceilDiv(f.peaks.Most(), s.Concurrency))
	most = min(s.Max, most+int(math.Ceil(f.tuning.Reserve*float64(most))))
	for n := have + 1; n <= most; n++ {
		gain += f.peaks.Chance((n-1)*s.Concurrency)*saved - float64(init)
		if gain > best {
			best, need = gain, n
		}
	}
	return need
}

// beyond is how many starts make new environments, up to n in all, where so many are frozen. One more start must stay
// possible: who comes meanwhile does not wait for the reserve.
func (f *frugal) beyond(frozen, n int) int {
	if f.most > 0 {
		n = min(n, frozen+f.most-1)
	}
	if n <= frozen {
		return 0
	}
	return n
}
