package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/culprit"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// maxFlown bounds how many requests are kept of an instance that have just ended.
const maxFlown = 1024

// A flown is a request that has just ended. Envoy may tell of its end before the relay tells that its environment has died.
type flown struct {
	what culprit.Request
	at   time.Time
}

// flew records the end of a request that an instance served. The caller holds f.mu.
func (f *function) flew(at time.Time, l *Lease) {
	i := l.on.Owner.(*instance)
	i.forgetFlown(at)
	i.flown = append(i.flown, flown{l.what, at})
	f.culprits.Served(at, l.what, at.Sub(l.granted))
}

// forgetFlown forgets requests that ended too long ago to be cut by a death, many at a time.
func (i *instance) forgetFlown(at time.Time) {
	old := 0
	switch n := len(i.flown); {
	case n == maxFlown:
		old = n / 2
	case n > 0 && i.broke.IsZero() && at.Sub(i.flown[0].at) > 2*culprit.Window:
		old, _ = slices.BinarySearchFunc(i.flown, at.Add(-culprit.Window), func(r flown, t time.Time) int { return r.at.Compare(t) })
	}
	i.flown = slices.Delete(i.flown, 0, old)
}

// breaks records the first sign that an instance has died. The caller holds f.mu.
func (i *instance) breaks(at time.Time) {
	if i.broke.IsZero() {
		i.broke = at
	}
}

// A death is the end of an environment that died while it served.
type death struct {
	had   []culprit.Request
	named string // a route that is now known to kill environments; empty: none
}

// died takes in how an instance ended, if its environment has died: nil if not. The caller holds f.mu, and has not told the pool
// yet.
func (f *function) died(at time.Time, i *instance, end provider.End) *death {
	if end.Cause != scaler.Crashed || i.core.Slots() == 0 {
		return nil
	}
	i.breaks(at)
	d := &death{}
	for r := range i.core.Leases() {
		d.had = append(d.had, r.Owner.(*Lease).what)
	}
	for _, r := range i.flown {
		if !r.at.Before(i.broke.Add(-culprit.Window)) {
			d.had = append(d.had, r.what)
		}
	}
	d.named = f.culprits.Died(at, d.had, i.core.Slots(), func(yield func(culprit.Flight) bool) {
		for core := range f.pool.Instances() {
			for r := range core.Leases() {
				if l := r.Owner.(*Lease); !yield(culprit.Flight{Request: l.what, For: at.Sub(l.granted)}) {
					return
				}
			}
		}
	})
	return d
}

// maxNames is how many kinds of requests a line in the log names.
const maxNames = 5

// requests names what was in flight, for people.
func (d *death) requests() string {
	if d == nil {
		return ""
	}
	var names []string
	for _, r := range d.had {
		names = append(names, r.Name())
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if more := len(names) - maxNames; more > 0 {
		names = append(names[:maxNames], fmt.Sprintf("and %d others", more))
	}
	return strings.Join(names, ", ")
}

// logKiller says that a route kills environments, when that is known.
func (f *function) logKiller(d *death) {
	if d != nil && d.named != "" {
		f.log.WithFields(logrus.Fields{"route": d.named}).Warn("a route kills environments")
	}
}

// killers are the routes that are known to kill environments. The caller holds f.mu.
func (f *function) killers(at time.Time) []operator.Killer {
	out := []operator.Killer{}
	for _, r := range f.culprits.Routes(at) {
		out = append(out, operator.Killer{Route: r.Name, Deaths: r.Deaths, Of: r.Of, Others: r.Others, Share: r.Share, LastAt: r.Last.UTC()})
	}
	return out
}

// killerWarnings say the same in sentences.
func killerWarnings(killers []operator.Killer) (out []operator.Warning) {
	for _, k := range killers {
		out = append(out, operator.Warning{Word: operator.KillsEnvironments, Detail: fmt.Sprintf(
			"%s kills environments: it was in flight at %d of %d deaths, and is %.2g %% of what is in flight. Up to %d other requests were cut with it",
			k.Route, k.Deaths, k.Of, 100*k.Share, k.Others)})
	}
	return out
}
