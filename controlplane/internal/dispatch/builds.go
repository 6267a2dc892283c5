package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// maxBuilds bounds the builds of lambdapeer that a function remembers: what a peer calls itself is its own to choose.
const maxBuilds = 16

// A build is one build of lambdapeer, as far as peers of the function showed.
type build struct {
	name  string // empty: peers that do not say
	lacks []wire.Description
}

// builds are those that the function has met, the one met last at the end. Guarded by the function's mu.
type builds []build

// meet takes note of a peer's build, and tells whether it is a new one, or one that lacks other things than before.
func (b *builds) meet(p relays.Peer) (build, bool) {
	met := build{name: p.Build, lacks: wire.Lacks(p.Features)}
	at := slices.IndexFunc(*b, func(known build) bool { return known.name == met.name && slices.Equal(known.lacks, met.lacks) })
	news := at < 0
	if !news {
		*b = slices.Delete(*b, at, at+1)
	}
	*b = append(*b, met)
	if len(*b) > maxBuilds {
		*b = slices.Delete(*b, 0, 1)
	}
	return met, news
}

// cost says what the build lacks and what that costs; empty if it lacks nothing.
func (b build) cost() string {
	if len(b.lacks) == 0 {
		return ""
	}
	var lacks []string
	for _, d := range b.lacks {
		lacks = append(lacks, fmt.Sprintf("without %s, %s", d.Feature, d.Without))
	}
	return "lambdapeer " + b.title() + " is older than this control plane: " + strings.Join(lacks, "; ")
}

func (b build) title() string {
	if b.name == "" {
		return "of a build that does not say which it is"
	}
	return b.name
}

// meet warns once of each build of lambdapeer that lacks something. The caller holds no lock.
func (f *function) meet(p relays.Peer) {
	f.mu.Lock()
	met, news := f.builds.meet(p)
	was := f.unguarded
	f.unguarded = f.obeysAny(p)
	exposed := f.unguarded && !was
	f.mu.Unlock()
	if exposed {
		f.log.Warn(unguardedDetail)
	}
	if news && len(met.lacks) > 0 {
		f.log.WithFields(logrus.Fields{"build": met.name, "lacks": names(met.lacks)}).
			Warn("the function's " + met.cost() + ". Build its image anew to get them")
	}
}

// unguardedDetail says what it means that a peer obeys any invocation, and what to do.
const unguardedDetail = "invocations are signed, but the function's lambdapeer has no key to check them with: whoever may invoke the function " +
	"can have it serve any relay. Set LAMBDA_DISPATCH_PEER_PUBLIC_KEY in its environment"

// obeysAny tells whether a peer obeys whoever invokes it although it need not: we sign, and it could check.
func (f *function) obeysAny(p relays.Peer) bool {
	return f.settings().provider != nil && f.d.signing().Public() != "" && p.Features.Has(wire.FeatureSignatures) &&
		!p.Features.Has(wire.FeatureSignedOnly) && !p.Features.Has(wire.FeatureKnownRelays)
}

func names(lacks []wire.Description) []string {
	out := make([]string, 0, len(lacks))
	for _, d := range lacks {
		out = append(out, string(d.Feature))
	}
	return out
}

// lacks lists what a peer of this build does and the instance's does not, once that is known. The caller holds f.mu.
func (f *function) lacks(i *instance) []string {
	if !i.met {
		return []string{}
	}
	return names(wire.Lacks(i.peer.Features))
}

// warnings are what the function's owner should know. The caller holds f.mu.
func (f *function) warnings() []operator.Warning {
	out := []operator.Warning{}
	for _, b := range f.current() {
		if cost := b.cost(); cost != "" {
			out = append(out, operator.Warning{Word: operator.PeerLacks, Detail: cost})
		}
	}
	if f.versions.trouble != "" {
		out = append(out, operator.Warning{Word: operator.Unseen, Detail: f.versions.trouble})
	}
	if f.unguarded {
		out = append(out, operator.Warning{Word: operator.Unguarded, Detail: unguardedDetail})
	}
	if !f.serialAt.IsZero() && now().Sub(f.serialAt) < serialFor {
		out = append(out, operator.Warning{Word: operator.SerialApp, Detail: f.serialDetail()})
	}
	return out
}

// serialFor is how long a function is said to serve one request at a time after an instance last found so: it may have been
// deployed anew.
const serialFor = time.Hour

// serial takes note of an app that serves one request at a time, and warns, once.
func (f *function) serial(i *instance) {
	f.mu.Lock()
	news := f.serialAt.IsZero()
	f.serialAt = now()
	f.mu.Unlock()
	if news {
		f.log.WithField("instance", i.id).Warn(f.serialDetail())
	}
}

func (f *function) serialDetail() string {
	return fmt.Sprintf("the app serves one request at a time: requests that overlapped were answered strictly one after another, "+
		"although an instance may get %d at once. Give its server more workers or threads, or set scaling.concurrency to 1", f.settings().config.Scaling.Slots())
}

// current lists the builds of the peers that are there; where there is none, the one that was there last. The caller holds
// f.mu.
func (f *function) current() builds {
	var there builds
	for core := range f.pool.Instances() {
		if i := core.Owner.(*instance); i.met && core.State() != pool.Gone {
			there.meet(i.peer)
		}
	}
	if len(there) == 0 && len(f.builds) > 0 {
		there = f.builds[len(f.builds)-1:]
	}
	return there
}
