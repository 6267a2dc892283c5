package pool

import (
	"container/heap"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Tick does what time has made due. It is harmless early and late.
func (p *Pool) Tick(now time.Time) *Effects {
	now = p.enter(now)
	p.unticked = false
	for r := p.queue.head; r != nil && !now.Before(p.deadline(r)); r = p.queue.head {
		p.evict(now, r, p.timeoutCause())
	}
	for i := p.timers.first(); i != nil && !now.Before(i.due); i = p.timers.first() {
		p.expire(now, i)
	}
	p.scale(now)
	return &p.effects
}

// never is later than any deadline.
var never = time.Unix(1<<60, 0)

// deadline is when a waiter leaves the queue. All wait equally long, so the oldest leaves first.
func (p *Pool) deadline(r *Request) time.Time {
	if p.settings.QueueTimeout <= 0 {
		return never
	}
	return r.arrived.Add(p.settings.QueueTimeout)
}

// timeoutCause names what waiters waited for in vain: starts that fail, or just a slot.
func (p *Pool) timeoutCause() Cause {
	if cause := p.guards.Breaker.Cause(); cause != "" {
		return cause
	}
	return QueueTimeout
}

// expire is the effect of an instance's timer.
func (p *Pool) expire(now time.Time, i *Instance) {
	switch i.state {
	case Starting:
		i.final, i.killed = true, true
		p.move(i, Down)
		p.fail(now, i, scaler.StartTimeout)
		p.effects.Kill = append(p.effects.Kill, i)
	case Ready:
		p.rotate(now, i)
	case Draining:
		p.endDrain(now, i)
	}
}

// endDrain is the last call for an instance that still drains, and when that has not helped, the end.
func (p *Pool) endDrain(now time.Time, i *Instance) {
	if now.Before(i.killAt) {
		p.timers.set(i, i.killAt)
		if !i.finished {
			p.finish(i)
		}
		return
	}
	i.killed = true
	p.timers.unset(i)
	p.effects.Kill = append(p.effects.Kill, i)
}

// Next is when Tick has work to do; it may be in the past. Zero: no time will bring work.
func (p *Pool) Next() time.Time {
	next := never
	if p.queue.n > 0 {
		next = p.deadline(p.queue.head)
	}
	if i := p.timers.first(); i != nil {
		next = earlier(next, i.due)
	}
	if !p.block.Until.IsZero() {
		next = earlier(next, p.block.Until)
	}
	if at := p.rule.Next(); p.closed == "" && !at.IsZero() {
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

// timers is a heap of the instances that have a timer, by due time.
type timers []*Instance

func (t *timers) first() *Instance {
	if len(*t) == 0 {
		return nil
	}
	return (*t)[0]
}

func (t *timers) set(i *Instance, due time.Time) {
	i.due = due
	if i.at > 0 {
		heap.Fix(t, i.at-1)
	} else {
		heap.Push(t, i)
	}
}

func (t *timers) unset(i *Instance) {
	if i.at > 0 {
		heap.Remove(t, i.at-1)
	}
}

// The heap's five methods, for package heap only.

func (t timers) Len() int           { return len(t) }
func (t timers) Less(a, b int) bool { return t[a].due.Before(t[b].due) }

func (t timers) Swap(a, b int) {
	t[a], t[b] = t[b], t[a]
	t[a].at, t[b].at = a+1, b+1
}

func (t *timers) Push(x any) {
	i := x.(*Instance)
	*t = append(*t, i)
	i.at = len(*t)
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	i := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	i.at = 0
	return i
}
