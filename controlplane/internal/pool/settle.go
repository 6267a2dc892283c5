package pool

import "time"

// After a takeover requests come at once that were held meanwhile, and slots are still taken by those of the pool before. Neither
// says anything about what is needed.

// settles is for how long that lasts, from the takeover on and from the first request that comes after it: Envoy asks again after
// pauses of up to half a second, the first try may meet nobody, and it may find only later who leads. What comes meanwhile is no rate,
// and what is idle is kept for it.
const settles = 1500 * time.Millisecond

// asked takes note of a request. With the first one after a takeover Envoy has turned to this pool.
func (p *Pool) asked(now time.Time) {
	if p.unasked {
		p.unasked, p.settled = false, now.Add(settles)
	}
}

// unreported is how long a slot may be free before the pool hears of it, if it has not leased it itself.
const unreported = reportEvery + maxDelay

// comingBack is how many waiters may be clients whose former request has just ended, on a slot that somebody else had leased: that
// slot is theirs as soon as it is reported.
func (p *Pool) comingBack(now time.Time) (n int) {
	if p.queue.n == 0 || !now.Before(p.settled) {
		return 0
	}
	legacy := 0
	for i := range p.Instances() {
		if i.state == Ready {
			legacy += i.legacy
		}
	}
	for r := p.queue.tail; r != nil && n < legacy && now.Sub(r.arrived) < unreported; r = r.prev {
		n++
	}
	return n
}

// settling is when more waiters may count although nothing happens; zero: never.
func (p *Pool) settling(now time.Time) time.Time {
	if p.queue.n == 0 || !now.Before(p.settled) {
		return p.settled
	}
	for r := p.queue.head; r != nil; r = r.next {
		if at := r.arrived.Add(unreported); at.After(now) {
			return earlier(at, p.settled)
		}
	}
	return p.settled
}
