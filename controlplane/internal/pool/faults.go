package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// An environment may break so that it answers every request with an error. Such an instance often answers quickly: it has free slots when
// the others are full, so it gets most of the requests, nobody waits, and nothing is started. Peers count answers and errors, which shows
// it. But errors may be the fault of the requests, which gather on one instance by themselves. So a trial sends the suspect and the others
// equally many requests by chance. If the suspect alone has errors, it is let go, and its environment with it.

const (
	// toldWithin is how long after an answer it is surely told of.
	toldWithin = 2 * reportEvery
	// longestFaultTrial is longer than that of a slow instance, because few requests may come and many of them are needed.
	longestFaultTrial = time.Minute
	// enoughAnswers of each side end a trial that has not found a fault.
	enoughAnswers = 200

	// What all depend on may fail for a moment, of which one peer reports before the others do. So errors must be the suspect's alone in
	// several periods, each longer than the time between what two peers tell of one moment.
	faultPeriod   = 2 * toldWithin
	enoughPeriods = 3
)

// A faultTrial is what a trial knows that looks for errors.
type faultTrial struct {
	skip        uint64 // as many answers of the suspect may be of requests that it had before
	own, others scaler.Outcomes

	began     time.Time       // of the period; zero: there has been none
	ownThen   scaler.Outcomes // at its beginning
	theirThen scaler.Outcomes
	alone     int // periods in which it alone had errors, less twice those in which others had as well
}

// period ends a period that is over, and begins the next one.
func (f *faultTrial) period(now time.Time) {
	switch {
	case now.Sub(f.began) < faultPeriod:
		return
	case !f.began.IsZero():
		own, others := f.own, f.others
		own.Sub(f.ownThen)
		others.Sub(f.theirThen)
		switch {
		case 4*others.Share() > f.own.Share(): // what may be usual errors of the app is no sign
			f.alone -= 2
		case own.Errors > 0:
			f.alone++
		}
	}
	f.began, f.ownThen, f.theirThen = now, f.own, f.others
}

// outcome takes in what the instance has answered since its last report, and judges it by that.
func (p *Pool) outcome(i *Instance) {
	now := scaler.Outcomes{N: i.answers, Errors: i.errors}
	last := i.judged
	if now.N == last.N {
		return // an error may be told before its answer, and counts with that
	}
	i.judged = now
	if !i.counts || i.adopted || i.state != Ready {
		return
	}
	now.Sub(last)
	p.outcomes.Sub(i.outcomes)
	i.outcomes.Add(now)
	i.outcomes.Fade()
	p.outcomes.Add(i.outcomes)
	switch {
	case p.roll != nil: // the rollout compares versions
	case p.trial != nil && p.trial.faults != nil:
		p.tryFaults(i, now)
	case p.count[Ready] > 1:
		p.suspectFaults(i)
	default:
		p.compareWithPast(i)
	}
}

// suspectFaults begins a trial of an instance that answers with more errors than the others, or mostly with errors while the others get
// too few requests to be compared.
func (p *Pool) suspectFaults(i *Instance) {
	others := p.outcomes
	others.Sub(i.outcomes)
	if (i.outcomes.WorseThan(others) || others.Few() && i.outcomes.Mostly()) && i.mayBeTried(p.now, i.faultless) && p.mayExpel() {
		p.try(i, longestFaultTrial)
		p.trial.faults = &faultTrial{skip: uint64(i.leases.n + i.foreign)}
	}
}

// tryFaults counts answers of the trial, and decides it if they are enough.
func (p *Pool) tryFaults(i *Instance, answers scaler.Outcomes) {
	t := p.tries()
	if t == nil || p.now.Before(t.from) {
		return
	}
	f := t.faults
	f.period(p.now)
	if i == t.of {
		skipped := min(f.skip, answers.N)
		f.skip -= skipped
		answers.Sub(scaler.Outcomes{N: skipped, Errors: min(skipped, answers.Errors)})
		f.own.Add(answers)
	} else {
		f.others.Add(answers)
	}
	switch {
	case f.own.WorseThan(f.others) && f.own.MoreErrorsThan(f.others):
		if f.alone < enoughPeriods {
			return
		}
		p.expel(t.of)
		p.drain(p.now, t.of, Failing)
		p.scale(p.now)
	case min(f.own.N, f.others.N) >= enoughAnswers:
		p.acquit()
	}
}

// compareWithPast replaces an only instance that answers most requests with errors, if those before it did not. No trial can tell
// whether the requests have changed, so the other one is up before it goes.
func (p *Pool) compareWithPast(i *Instance) {
	if i.outcomes.Mostly() && i.outcomes.WorseThan(p.past) && !i.isLast() && p.mayExpel() {
		p.expel(i)
		p.setSlow(i, true)
		p.beginRotation(p.now, i)
		p.scale(p.now)
	}
}

// mayExpel reports whether another instance may be let go because it fails: one in ten minutes, or a quarter of all. If more fail, it
// is not for their environments.
func (p *Pool) mayExpel() bool {
	for len(p.failed) > 0 && p.now.Sub(p.failed[0]) >= slowFor {
		p.failed = p.failed[1:]
	}
	return len(p.failed) < max(1, p.count[Ready]/4)
}

func (p *Pool) expel(i *Instance) {
	p.trial = nil
	p.failed = append(p.failed, p.now)
	p.remember(i.environment)
	i.failing = true
}

// rotationOf is why an instance is drained that another one replaces.
func (i *Instance) rotationOf() Reason {
	if i.failing {
		return Failing
	}
	return Rotation
}
