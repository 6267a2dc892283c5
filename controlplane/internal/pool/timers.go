package pool

import (
	"container/heap"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Tick does everything that is due. Calling it early or late is harmless.
func (p *Pool) Tick(now time.Time) *Effects {
	now = p.enter(now)
	p.unticked = false
	p.evictLate(now)
	for t := p.timers.first(); t != nil && !now.Before(t.due); t = p.timers.first() {
		p.expire(now, t.of)
	}
	for t := p.lingering.first(); t != nil && !now.Before(t.due); t = p.lingering.first() {
		p.lingered(t.of)
	}
	for t := p.reviews.first(); t != nil && !now.Before(t.due); t = p.reviews.first() {
		p.review(now, t.of)
	}
	p.scale(now)
	return &p.effects
}

// evictLate evicts the waiters whose time is over.
func (p *Pool) evictLate(now time.Time) {
	var cause Cause
	for r := p.queue.head; r != nil && !now.Before(r.due); r = p.queue.head {
		if cause == "" {
			cause = p.timeoutCause(now)
		}
		p.evict(now, r, cause)
	}
}

// never is later than any deadline.
var never = time.Unix(1<<60, 0)

// due is when a request must leave the queue that waits from then on.
func (p *Pool) due(from time.Time) time.Time {
	if p.settings.QueueTimeout <= 0 {
		return never
	}
	return from.Add(p.settings.QueueTimeout)
}

// timeoutCause is what waiters waited for in vain: starts that fail, a start whose app is not ready or whose peer does not dial, or
// just a slot.
func (p *Pool) timeoutCause(now time.Time) Cause {
	if cause := p.guards.Breaker.Cause(); cause != "" {
		return cause
	}
	cause := QueueTimeout
	if p.count[Ready] > 0 {
		return cause
	}
	for i := range p.Instances() {
		switch {
		case i.state != Starting || i.adopted || i.dialled:
		case i.awaitsApp:
			return AppStarting
		case now.Sub(i.started) >= undialled:
			cause = scaler.StartTimeout
		}
	}
	return cause
}

// undialled is how old a start must be without a peer that dials, to say that none will. A peer dials before Lambda's init phase,
// which takes at most ten seconds, is over.
const undialled = 15 * time.Second

// expire is the effect of an instance's timer.
func (p *Pool) expire(now time.Time, i *Instance) {
	switch i.state {
	case Starting:
		if i.dialled {
			p.letGo(now, i)
			return
		}
		if i.inherited && !i.adopted {
			p.giveUpInherited(i)
			return
		}
		i.final, i.killed, i.late = true, true, true
		p.move(i, Down)
		p.fail(now, i, scaler.StartTimeout)
		p.effects.Kill = append(p.effects.Kill, i)
	case Ready:
		p.rotate(now, i)
	case Draining:
		p.endDrain(now, i)
	}
}

// endDrain tells an instance to finish that still drains shortly before its deadline. At the deadline it kills the instance.
func (p *Pool) endDrain(now time.Time, i *Instance) {
	if now.Before(i.killAt) {
		p.timers.set(&i.deadline, i.killAt)
		if !i.finished {
			p.finish(i)
		}
		return
	}
	i.killed = true
	p.timers.unset(&i.deadline)
	p.effects.Kill = append(p.effects.Kill, i)
}

// Next is when Tick has work to do. It may be in the past. Zero: it has none until another event.
func (p *Pool) Next() time.Time {
	next := never
	if p.queue.n > 0 {
		next = p.queue.head.due
	}
	for _, heap := range []timers{p.timers, p.lingering, p.reviews} {
		if t := heap.first(); t != nil {
			next = earlier(next, t.due)
		}
	}
	if !p.block.Until.IsZero() {
		next = earlier(next, p.block.Until)
	}
	for _, at := range []time.Time{p.countsMoreAt(p.now), p.missing(), p.kept} {
		if p.closed == "" && at.After(p.now) {
			next = earlier(next, at)
		}
	}
	if p.roll != nil {
		for _, at := range []time.Time{p.roll.Next(p.now), p.roll.look} {
			if at.After(p.now) {
				next = earlier(next, at)
			}
		}
	}
	if at := p.rule.Next(); p.closed == "" && !p.onHold && !at.IsZero() {
		next = earlier(next, at)
	}
	switch {
	case p.unticked:
		return time.Unix(0, 0)
	case next.Equal(never):
		return time.Time{}
	default:
		return next
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// A timer belongs to an instance and is in at most one heap.
type timer struct {
	of  *Instance
	due time.Time
	at  int // in the heap, plus one; 0: not running
}

// timers is a heap of timers that run, by due time.
type timers []*timer

func (h *timers) first() *timer {
	if len(*h) == 0 {
		return nil
	}
	return (*h)[0]
}

func (h *timers) set(t *timer, due time.Time) {
	t.due = due
	if t.at > 0 {
		heap.Fix(h, t.at-1)
	} else {
		heap.Push(h, t)
	}
}

func (h *timers) unset(t *timer) {
	if t.at > 0 {
		heap.Remove(h, t.at-1)
	}
}

// The heap's five methods, for package heap only.

func (h timers) Len() int           { return len(h) }
func (h timers) Less(a, b int) bool { return h[a].due.Before(h[b].due) }

func (h timers) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].at, h[b].at = a+1, b+1
}

func (h *timers) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.at = len(*h)
}

func (h *timers) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.at = 0
	return t
}
