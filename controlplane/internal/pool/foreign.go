package pool

import (
	"math"
	"time"
)

// What reports of an instance's peer are, as far as Foreign relies on it.
const (
	// reportEvery is the most that lies between a change of what the peer counts and its report, but for the report's way.
	reportEvery = 100 * time.Millisecond
	// foreignFor is for how long slots must have been taken without a lease before they count as foreign.
	foreignFor = 200 * time.Millisecond
	// DefaultDelay bounds the time from the moment in which a report was true until it is heard, where nobody knows better.
	DefaultDelay = 20 * time.Millisecond
	// maxDelay keeps what is remembered of leases long enough.
	maxDelay = 100 * time.Millisecond
	// together is within what time requests come back that were refused at the same moment.
	together = 30 * time.Millisecond
	maxLows  = 8
)

// A Foreign tells how many of an instance's slots are taken although no lease is out on them: the client has left and the
// app works on, or somebody else has leased them. It compares what the peer reports with the leases. A report is heard a
// little after it was true; so the most leases of that time are taken from it, those that have ended since included. The
// least such excess of the last foreignFor counts. The error is on the low side: leases alone never make a slot foreign.
//
// Between two reports the peer may have changed for reportEvery. After that its silence says that nothing has.
type Foreign struct {
	leases   recent
	reported int       // of the latest report
	excess   int       // at the latest report
	at       time.Time // when it came, or when something else made excess; zero: none has
	delay    time.Duration
	refused  time.Time // when the peer refused a request for the last time; zero: no longer of interest
	lows     []low     // earlier excesses, each with those after it that are higher; oldest and lowest first
}

// A low is an excess that held until then.
type low struct {
	until  time.Time
	excess int
}

// Begin forgets everything and begins with so many leases. A first report counts at once, if what is on the instance is
// not known to be of these leases alone (after a takeover); otherwise it must last like any other.
func (f *Foreign) Begin(now time.Time, leases int, known bool) {
	f.leases.reset(now, leases)
	f.reported, f.excess, f.at, f.refused, f.lows = 0, 0, time.Time{}, time.Time{}, f.lows[:0]
	if known {
		f.note(now, 0)
	}
}

// Leases says how many leases are out from now on.
func (f *Foreign) Leases(now time.Time, n int) { f.leases.set(now, n) }

// Report says how many requests the peer counted, at most delay ago.
func (f *Foreign) Report(now time.Time, n int, delay time.Duration) {
	f.close(now)
	f.reported, f.at, f.delay = n, now, min(max(delay, 0), maxDelay)
	if now.Sub(f.refused) >= together {
		f.refused = time.Time{}
	}
	f.excess = max(0, n-f.leases.most(now, now.Add(-f.delay)))
}

// close makes past of what the latest report and the silence since then say.
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

// Refused says that the peer has all its slots taken and so refused a request that held a lease, which is not counted in
// leases any more. This counts at once: the request would be sent there again. How many of the other leases are about to be
// refused as well is not known, so the instance is full until a later report comes, or should have come.
func (f *Foreign) Refused(now time.Time, slots, leases int) {
	f.excess, f.at, f.refused = max(slots-leases, f.Slots(now)), now, now
	f.leases.reset(now, leases)
	f.lows = f.lows[:0]
}

// Suspect counts at once what the latest report has beyond the leases of now, until the next one comes, or should have come.
// It reports whether that is more than before.
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

// fullUntil is until when a refusal makes the instance full if no report comes.
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

// latest is the least excess that the latest report and the silence since then say.
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

// Next is when Slots may have risen, or Full ends, although nothing happens; zero: never.
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

// silentSince is from when on the peer's silence says that nothing has changed.
func (f *Foreign) silentSince() time.Time { return f.at.Add(reportEvery + f.delay) }

// silence is the least excess since silentSince, which is past, as far back as it counts.
func (f *Foreign) silence(now time.Time) int {
	since := f.silentSince()
	if from := now.Add(-foreignFor); since.Before(from) {
		since = from
	}
	return max(0, f.reported-f.leases.most(now, since.Add(-f.delay)))
}

// note takes in an excess that held until then. It makes all earlier ones that are not lower meaningless.
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
