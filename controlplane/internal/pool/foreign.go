package pool

import (
	"math"
	"time"
)

// What Foreign assumes about the reports of a peer.
const (
	// reportEvery is the longest time from a change of the peer's count until it sends a report.
	reportEvery = 100 * time.Millisecond
	// foreignFor is how long slots must have been taken without a lease before they count as foreign.
	foreignFor = 200 * time.Millisecond
	// DefaultDelay bounds the time from when a report was true until it arrives, if its way has not been measured.
	DefaultDelay = 20 * time.Millisecond
	// maxDelay is the longest delay that is believed: leases are remembered for a limited time.
	maxDelay = 100 * time.Millisecond
	// together is the time within which requests come back that were refused at the same moment.
	together = 30 * time.Millisecond
	maxLows  = 8
)

// A Foreign estimates how many of an instance's slots are taken although no lease is out on them: the client has left and the app
// works on, or another leader has leased them. It compares the peer's reports with the leases. A report arrives a little after it
// was true, so the highest number of leases in that time is subtracted from it. The lowest such excess of the last foreignFor
// counts. So the estimate is too low rather than too high, and leases alone never make a slot foreign.
//
// The peer's count may change for reportEvery after a report. If the peer is silent for longer, nothing has changed.
type Foreign struct {
	leases   recent
	reported int       // of the latest report
	excess   int       // at the latest report
	at       time.Time // when it came, or when something else made excess; zero: none has
	delay    time.Duration
	refused  time.Time // when the peer last refused a request; zero: it does not matter any more
	lows     []low     // earlier excesses, each standing also for higher ones after it; oldest and lowest first
}

// A low is an excess that held until then.
type low struct {
	until  time.Time
	excess int
}

// Begin forgets everything and begins with the given number of leases. known says that nothing but these leases is on the instance.
// Without that, as after a takeover, the excess of the first report counts at once instead of after foreignFor.
func (f *Foreign) Begin(now time.Time, leases int, known bool) {
	f.leases.reset(now, leases)
	f.reported, f.excess, f.at, f.refused, f.lows = 0, 0, time.Time{}, time.Time{}, f.lows[:0]
	if known {
		f.note(now, 0)
	}
}

// Leases says how many leases are out from now on, without those that the peer has refused.
func (f *Foreign) Leases(now time.Time, n int) { f.leases.set(now, n) }

// Report says how many requests the peer counted at a moment that is at most delay ago.
func (f *Foreign) Report(now time.Time, n int, delay time.Duration) {
	f.close(now)
	f.reported, f.at, f.delay = n, now, min(max(delay, 0), maxDelay)
	if now.Sub(f.refused) >= together {
		f.refused = time.Time{}
	}
	f.excess = max(0, n-f.leases.most(now, now.Add(-f.delay)))
}

// close adds what the latest report and the silence since then have shown to the lows.
func (f *Foreign) close(now time.Time) {
	if f.at.IsZero() {
		return
	}
	since := f.silentSince()
	if !since.Before(now) {
		f.note(now, f.excess)
		return
	}
	f.note(since, f.excess)
	f.note(now, f.silence(now))
}

// Refused says that the peer refused a leased request because all its slots are taken. That request is not counted in leases any
// more. The excess counts at once, or else the request would be sent there again. How many of the other leases will be refused too
// is not known, so the instance is full until the next report comes, or should have come.
func (f *Foreign) Refused(now time.Time, slots, leases int) {
	f.excess, f.at, f.refused = max(slots-leases, f.Slots(now)), now, now
	f.leases.reset(now, leases)
	f.lows = f.lows[:0]
}

// Suspect makes the excess of the latest report over the present leases count at once, until the next report comes, or should have
// come. It reports whether that is more than before.
func (f *Foreign) Suspect(now time.Time) bool {
	open := f.reported - int(f.leases.level)
	if f.at.IsZero() || open <= f.Slots(now) {
		return false
	}
	f.excess, f.at, f.lows = open, now, f.lows[:0]
	return true
}

// Full reports whether no slot is free, whatever the leases say.
func (f *Foreign) Full(now time.Time) bool { return now.Before(f.fullUntil()) }

// fullUntil is the time until which a refusal makes the instance full if no report comes.
func (f *Foreign) fullUntil() time.Time {
	if f.refused.IsZero() {
		return time.Time{}
	}
	return f.refused.Add(reportEvery + f.delay)
}

// Slots is how many slots are foreign.
func (f *Foreign) Slots(now time.Time) int {
	f.forget(now)
	if f.at.IsZero() && len(f.lows) == 0 {
		return 0
	}
	least := f.latest(now)
	if len(f.lows) > 0 {
		least = min(least, f.lows[0].excess)
	}
	return least
}

// latest is the lowest excess that follows from the latest report and the silence since then.
func (f *Foreign) latest(now time.Time) int {
	if f.at.IsZero() {
		return math.MaxInt
	}
	since, least := f.silentSince(), math.MaxInt
	if now.Before(since.Add(foreignFor)) {
		least = f.excess
	}
	if since.Before(now) {
		least = min(least, f.silence(now))
	}
	return least
}

// Next is when Slots may rise, or Full ends, without an event; zero: never.
func (f *Foreign) Next(now time.Time) time.Time {
	if f.Full(now) {
		return f.fullUntil()
	}
	if most := f.reported - int(f.leases.level); most <= 0 || most <= f.Slots(now) {
		return time.Time{}
	}
	since := f.silentSince()
	if since.Before(now) {
		since = now
	}
	return since.Add(foreignFor / 2)
}

// silentSince is the time from which the peer's silence means that nothing has changed.
func (f *Foreign) silentSince() time.Time { return f.at.Add(reportEvery + f.delay) }

// silence is the lowest excess since silentSince, which must be past, or of the last foreignFor.
func (f *Foreign) silence(now time.Time) int {
	since := f.silentSince()
	if from := now.Add(-foreignFor); since.Before(from) {
		since = from
	}
	return max(0, f.reported-f.leases.most(now, since.Add(-f.delay)))
}

// note records an excess that held until then. Earlier ones that are not lower do not matter any more.
func (f *Foreign) note(until time.Time, excess int) {
	for len(f.lows) > 0 && f.lows[len(f.lows)-1].excess >= excess {
		f.lows = f.lows[:len(f.lows)-1]
	}
	if len(f.lows) == maxLows {
		f.lows[maxLows-1].until = until // lower than what it was, which is the safe side
		return
	}
	f.lows = append(f.lows, low{until, excess})
}

// forget drops the excesses that do not count any more.
func (f *Foreign) forget(now time.Time) {
	n := 0
	for n < len(f.lows) && !now.Before(f.lows[n].until.Add(foreignFor)) {
		n++
	}
	f.lows = append(f.lows[:0], f.lows[n:]...)
}
