package dispatch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// maxBuilds bounds the builds of lambdapeer that a function remembers, because a peer may call itself anything.
const maxBuilds = 16

// A build is one build of lambdapeer that a peer of the function had.
type build struct {
	name  string // empty: peers that do not say
	lacks []wire.Description
}

// builds are those that the function has met, the latest at the end. Guarded by the function's mu.
type builds []build

// meet records a peer's build. It tells whether the build is new, or lacks other features than before.
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

// meet records a peer's build, and warns once of each build that lacks something. The caller holds no lock.
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

func names(lacks []wire.Description) []string {
	out := make([]string, 0, len(lacks))
	for _, d := range lacks {
		out = append(out, string(d.Feature))
	}
	return out
}

// lacks lists the features of this build's lambdapeer that the instance's peer lacks; empty before its hello. The caller holds
// f.mu.
func (f *function) lacks(i *instance) []string {
	if !i.met {
		return []string{}
	}
	return names(wire.Lacks(i.peer.Features))
}

// current lists the builds of the peers that are there, or the last one if no peer is. The caller holds f.mu.
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
