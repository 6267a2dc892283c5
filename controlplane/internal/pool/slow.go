package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Some environments take several times longer for the same requests. Packing makes that worse, because an instance whose requests
// take longer is fuller, and gets the next one. So a slow instance is leased last, replaced like one that nears its end, and
// recognized when its environment comes back. A trial decides which instance is slow; see trial.go.

// slowFor is how long an environment is remembered as slow. Its neighbours on the machine may have gone by then.
const slowFor = 10 * time.Minute

// mostSlow bounds the environments that are remembered as slow.
const mostSlow = 64

// pace records how long a request took on its instance. If the instance seems slow, a trial of it begins.
func (p *Pool) pace(r *Request, took time.Duration) {
	i := r.instance
	if p.roll != nil || p.settings.Learn || i.adopted {
		if p.trial != nil && p.trial.faults == nil {
			p.trial = nil
		}
		return // requests take longer for other reasons while code is new or concurrency is learned
	}
	i.pace.Add(took, scaler.KeepOwn)
	p.paces.Add(took, scaler.KeepAll(p.count[Ready]))
	switch {
	case p.trial != nil:
		p.witness(r, took)
	case p.count[Ready]-p.slow >= 2:
		p.accuse(i, &i.pace)
		p.lookAtNext()
	}
}

// accuse begins a trial of an instance if it seems slow.
func (p *Pool) accuse(i *Instance, pace *scaler.Pace) {
	if p.trial == nil && i.mayBeTried(p.now, i.cleared) && pace.SlowerThan(&p.paces) {
		p.try(i, longestTrial)
	}
}

// fewOldest is how many requests in flight an instance is judged by.
const fewOldest = 8

// lookAtNext looks at one instance after the other, by its oldest requests in flight: the first answers of one that takes several
// times longer need not be waited for. Later, what is in flight for long is what takes long anywhere.
func (p *Pool) lookAtNext() {
	p.looked = (p.looked + 1) % len(p.table)
	i := p.table[p.looked]
	if i == nil || i.adopted || i.state != Ready || i.foreign > 0 || !i.pace.Few() { // clients that leave hide how long requests take
		return
	}
	pace, n := i.pace, 0
	for r := i.leases.head; r != nil && n < fewOldest; r = r.next {
		if !r.Stream {
			pace.Add(p.now.Sub(r.leased), scaler.KeepOwn)
			n++
		}
	}
	if n == fewOldest {
		p.accuse(i, &pace)
	}
}

// remember remembers an environment as slow. If there are too many, it forgets the oldest.
func (p *Pool) remember(environment string) {
	if environment == "" {
		return
	}
	if len(p.foundSlow) >= mostSlow {
		oldest, at := "", p.now.Add(time.Nanosecond)
		for name, since := range p.foundSlow {
			if since.Before(at) {
				oldest, at = name, since
			}
		}
		delete(p.foundSlow, oldest)
	}
	p.foundSlow[environment] = p.now
}

// recognize makes an instance slow that comes up in an environment which is remembered as slow. It is set aside while another
// frozen environment could be started instead.
func (p *Pool) recognize(i *Instance) {
	since, known := p.foundSlow[i.environment]
	switch {
	case !known || i.adopted || p.roll != nil:
	case p.now.Sub(since) >= slowFor:
		delete(p.foundSlow, i.environment)
	default:
		i.slow = true
		i.aside = i.fleet.Spare(p.now) > 0
	}
}

// setSlow makes a ready instance slow or not, and moves it to the other list.
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

// useAside gives waiters the instances that were set aside, if no better one is starting.
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
