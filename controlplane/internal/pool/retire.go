package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Retire says that the pool closes soon. It still leases and serves its queue, but from now on instances start only for waiters:
// neither for Min, nor for future requests, nor to replace rotating ones.
func (p *Pool) Retire(now time.Time) *Effects {
	now = p.enter(now)
	p.retiring = true
	p.scale(now)
	return &p.effects
}

// forWaiters reduces what the policy wants to what waiters need, if the pool is retiring.
func (p *Pool) forWaiters(want scaler.Want) scaler.Want {
	if p.retiring {
		concurrency := p.concurrency()
		needed := (p.queue.n + concurrency - 1) / concurrency
		want.Start, want.Replace = max(0, min(want.Start, needed-p.count[Starting])), 0
	}
	return want
}
