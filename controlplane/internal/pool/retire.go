package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Retire says that the pool closes soon. It goes on leasing and its queue is served, but from now on nothing starts that no
// waiter needs: neither for Min, nor for what may come, nor in place of what rotates.
func (p *Pool) Retire(now time.Time) *Effects {
	now = p.enter(now)
	p.retiring = true
	p.scale(now)
	return &p.effects
}

// wanted is what a pool that retires does of what the policy wants.
func (p *Pool) wanted(want scaler.Want) scaler.Want {
	if p.retiring {
		concurrency := p.concurrency()
		needed := (p.queue.n + concurrency - 1) / concurrency
		want.Start, want.Replace = max(0, min(want.Start, needed-p.count[Starting])), 0
	}
	return want
}
