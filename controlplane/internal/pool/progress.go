package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// Progress is how far a rollout has come, or how the last one ended.
type Progress struct {
	From, To Route
	Phase    rollout.Phase // empty: there was none
	Cause    rollout.Cause // why it was given up
	Back     bool          // it was given up, and its instances are being replaced by the old version
	Share    float64       // of the capacity, in this step, from 0 to 1; 0: one instance is tried
	Began    time.Time
	Ended    time.Time // zero: it goes on

	Want, Fresh, Starting, Old int // instances: wanted in all, new ones that are up, new ones that start, old ones that are up
	Failures                   int // failed starts in a row
	Before, After              rollout.Sample
}

// Rollout is the rollout under way, or the last one.
func (p *Pool) Rollout() Progress {
	if p.roll == nil || p.roll.back {
		last := p.lastRoll
		last.Back = p.roll != nil
		return last
	}
	return p.progress()
}

func (p *Pool) progress() Progress {
	r := p.roll
	g := Progress{
		From: r.from, To: r.to, Phase: r.Phase(), Cause: r.Cause(), Share: r.Share(), Began: r.began,
		Want: r.n, Fresh: p.fresh[Ready], Starting: p.fresh[Starting], Old: p.count[Ready] - p.fresh[Ready], Failures: r.Failures(),
	}
	g.Before, g.After = r.Samples()
	return g
}

// Routed is the route of new instances; during a rollout it is the old one.
func (p *Pool) Routed() Route { return p.route }

// reportStep tells the caller that the rollout has come a step further.
func (p *Pool) reportStep() { p.effects.Rollout = append(p.effects.Rollout, p.Rollout()) }

// recordEnd keeps how a rollout ended, and tells the caller. It does neither for one that undid another.
func (p *Pool) recordEnd(cause rollout.Cause) {
	if p.roll.back {
		return
	}
	if cause != "" {
		p.roll.Abort(cause)
	}
	p.lastRoll = p.progress()
	p.lastRoll.Ended = p.now
	p.effects.Rollout = append(p.effects.Rollout, p.lastRoll)
}

// Answered says how many answers the instance's peer has counted since it began, and how many of them were 5xx. A peer counts both at
// slightly different moments, so an answer and its error may come in different reports.
func (p *Pool) Answered(i *Instance, answers, errors uint64) {
	errors = min(errors, answers) // what is beyond is counted with its answer
	if answers < i.answers || errors < i.errors {
		return // a control stream that begins anew knows of none
	}
	if i.startedWell && i.answers == 0 { // of the pool before
		i.answers, i.errors, i.judged = answers, errors, scaler.Outcomes{N: answers, Errors: errors}
		return
	}
	if p.roll != nil && i.state == Ready {
		p.roll.Answered(i.fresh, answers-i.answers, errors-i.errors)
		if !i.fresh && answers > i.answers {
			p.roll.oldAnswered(p.now)
		}
	}
	i.answers, i.errors = answers, errors
}
