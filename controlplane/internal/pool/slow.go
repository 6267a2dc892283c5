package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Slow instances: some environments take several times longer for the same requests. Packing makes that worse, because an
// instance whose requests take longer is the fuller one, and gets the next. So a slow instance is leased last, is replaced like
// one that nears its end, and is known again when its environment comes back. Which it is a trial says, trial.go.

// A slow instance is forgiven after that time: neighbours on a machine come and go.
const slowFor = 10 * time.Minute

// mostSlow bounds the environments that are known to be slow.
const mostSlow = 64

// pace takes in how long a request took on an instance. One that seems slow is tried.
func (p *Pool) pace(r *Request, took time.Duration) {
	i := r.instance
	if p.roll != nil || p.settings.Learn || i.adopted {
		p.trial = nil
		return // what is new, or learns how much it may have, takes longer for other reasons
	}
	i.pace.Add(took, scaler.KeepOwn)
	p.paces.Add(took, scaler.KeepAll(p.count[Ready]))
	switch {
	case p.trial != nil:
		p.witness(r, took)
	case i.mayBeTried(p.now) && p.count[Ready]-p.slow >= 2 && i.pace.SlowerThan(&p.paces):
		p.trial = &trial{of: i, until: p.now.Add(longestTrial)}
	}
}

// remember knows a slow environment again. The oldest memory gives way.
func (p *Pool) remember(environment string) {
	if environment == "" {
		return
	}
	if len(p.slowOnes) >= mostSlow {
		oldest, at := "", p.now.Add(time.Nanosecond)
		for name, since := range p.slowOnes {
			if since.Before(at) {
				oldest, at = name, since
			}
		}
		delete(p.slowOnes, oldest)
	}
	p.slowOnes[environment] = p.now
}

// recognize looks at an instance that comes up. While a frozen environment is there that is not slow as far as known, nobody is
// made to use a slow one: it is set aside.
func (p *Pool) recognize(i *Instance) {
	since, known := p.slowOnes[i.environment]
	switch {
	case !known || i.adopted || p.roll != nil:
	case p.now.Sub(since) >= slowFor:
		delete(p.slowOnes, i.environment)
	default:
		i.slow = true
		i.aside = i.fleet.Spare(p.now) > 0
	}
}

// setSlow moves a ready instance to where it is listed.
func (p *Pool) setSlow(i *Instance, slow bool) {
	p.index(i).remove(i.index, i.free())
	i.slow = slow
	p.index(i).add(i.index, i.free())
	if slow {
		p.slow++
	} else {
		p.slow--
	}
}

// useAside lets those that wait have what was set aside, where nothing better is on its way.
func (p *Pool) useAside(now time.Time) {
	if p.slow == 0 || p.queue.n == 0 || p.count[Starting] > 0 {
		return
	}
	for i := range p.Instances() {
		if i.aside && i.state == Ready {
			i.aside = false
			p.relist(i, 0)
		}
	}
	p.serve(now)
}
