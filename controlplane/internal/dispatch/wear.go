package dispatch

import (
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// wears makes the pool replace an instance whose environment is worn.
func (f *function) wears(i *instance, word wire.Notice) {
	f.log.WithFields(logrus.Fields{"instance": i.id, "why": wornBy(word)}).
		Info("environment worn: another one takes its place")
	f.change(i, func(p *pool.Pool, at time.Time) *pool.Effects {
		i.worn = word
		return p.Worn(at, i.core)
	})
}

// wornBy is the kind of wear: memory, requests or age.
func wornBy(word wire.Notice) string { return strings.TrimPrefix(string(word), "worn_") }

// endsWorn tells whether a worn environment has ended with its instance, and counts it. The caller holds f.mu.
func (f *function) endsWorn(end provider.End) bool {
	if end.Report == nil || !end.Report.Worn.Wears() {
		return false
	}
	f.worn[wornBy(end.Report.Worn)]++
	return true
}
