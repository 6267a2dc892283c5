package dispatch

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A rolloutStep is a step of a rollout, with a sentence about it.
type rolloutStep struct {
	pool.Progress
	detail string
}

// rolloutSteps records the steps that a rollout has made. The caller holds f.mu.
func (f *function) rolloutSteps(steps []pool.Progress) []rolloutStep {
	var out []rolloutStep
	for _, g := range steps {
		if g.Phase.Over() && !g.Back {
			f.rollouts[cmp.Or(string(g.Cause), string(g.Phase))]++
		}
		out = append(out, rolloutStep{g, f.rolloutDetail(g)})
	}
	return out
}

// log tells an operator about a step.
func (t rolloutStep) log(log logrus.FieldLogger) {
	log = log.WithFields(logrus.Fields{
		"from": routeName(t.From), "to": routeName(t.To), "fresh": t.Fresh, "old": t.Old, "instances": t.Want,
	})
	switch {
	case t.Back:
		log.WithField("cause", t.Cause).Info("what the rollout had brought is replaced by the old version")
	case t.Phase == rollout.Aborted && t.Cause != rollout.Superseded:
		log.WithFields(logrus.Fields{"cause": t.Cause, "detail": t.detail}).Warn("rollout given up")
	case t.Phase == rollout.Aborted:
		log.Info("rollout ends: another one begins")
	case t.Phase == rollout.Done:
		log.WithField("took", t.Ended.Sub(t.Began).Round(time.Millisecond)).Info("rollout done")
	default:
		log.WithFields(logrus.Fields{"phase": t.Phase, "share": t.Share}).Info("rollout")
	}
}

// routeName describes a route to people.
func routeName(r pool.Route) string {
	switch {
	case r.Version == "":
		return "the qualifier's version"
	case r.Extra == "":
		return r.Version
	}
	return fmt.Sprintf("%s, and %s for %.0f%%", r.Version, r.Extra, 100*r.Share)
}

// rolloutDetail explains in a sentence why a rollout is where it is; empty if nothing is wrong. The caller holds f.mu.
func (f *function) rolloutDetail(g pool.Progress) string {
	before, after := g.Before, g.After
	switch {
	case g.Cause == rollout.Errors:
		return fmt.Sprintf("%.1f %% of the new version's answers are errors, of the old one's %.1f %%", 100*after.ErrorShare(), 100*before.ErrorShare())
	case g.Cause == rollout.Slow:
		return fmt.Sprintf("99 of 100 requests take up to %s on the new version, up to %s on the old one", rounded(after.P99()), rounded(before.P99()))
	case g.Cause == rollout.Crashes:
		return "instances of the new version ended by themselves" + f.said.because(scaler.Crashed)
	case g.Cause == rollout.Hangs:
		return "the new version takes requests and answers none of them, or far fewer than the old one"
	case g.Cause == rollout.ByOperator:
		return "an operator has ended it"
	case g.Cause == rollout.Superseded:
		return "another one has begun"
	case g.Cause != "":
		return "instances of the new version do not come up: " + string(g.Cause) + f.said.because(scaler.Cause(g.Cause))
	case g.Phase == rollout.Starting && g.Failures > 0:
		return fmt.Sprintf("starts fail, %d in a row%s", g.Failures, f.said.because(f.failedLast))
	}
	return ""
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// rolloutStatus is the rollout as the API shows it. The caller holds f.mu.
func (f *function) rolloutStatus() *operator.Rollout {
	g := f.pool.Rollout()
	if g.Phase == "" {
		return nil
	}
	s := &operator.Rollout{
		From: routeName(g.From), To: routeName(g.To), Phase: string(g.Phase), Cause: string(g.Cause), Detail: f.rolloutDetail(g),
		Back: g.Back, Share: g.Share, BeganAt: g.Began.UTC(),
		Want: g.Want, Fresh: g.Fresh, Starting: g.Starting, Old: g.Old,
		Before: served(g.Before), After: served(g.After),
	}
	if !g.Ended.IsZero() {
		ended := g.Ended.UTC()
		s.EndedAt = &ended
	}
	return s
}

func served(s rollout.Sample) operator.Served {
	answers, errors := s.Answers()
	return operator.Served{Answers: answers, Errors: errors, P99Seconds: s.P99().Seconds()}
}

// readyByVersion counts ready instances. The caller holds f.mu.
func (f *function) readyByVersion() map[string]int {
	out := map[string]int{}
	for core := range f.pool.Instances() {
		if core.State() == pool.Ready && core.Version() != "" {
			out[core.Version()]++
		}
	}
	return out
}

// rolloutsEnded counts the rollouts that have ended, by outcome. The caller holds f.mu.
func (f *function) rolloutsEnded() map[string]uint64 { return maps.Clone(f.rollouts) }
