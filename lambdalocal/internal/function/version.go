package function

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// Latest is the name of the version that is not published.
const Latest = "$LATEST"

// A Version is a version of a function: the published ones, and Latest. Its maps and lists must not be changed.
type Version struct {
	environment.Config        // Version is its name, a number
	Provisioned        int    // environments that are initialised ahead, from the start on
	Sha256             string // of its code, where that is a copy; empty: it is what is on disk
	Description        string
	Modified           time.Time
	Revision           string // another one after each change
}

// An Alias is a name for a version, or for several by weight.
type Alias struct {
	Name        string
	Version     string
	Description string
	Revision    string // another one after each change
	// Weights are the parts of the invocations that other versions get, in total 1 at most.
	Weights map[string]float64
}

// pick chooses the version for one invocation, by a number that is uniform in [0, 1).
func (a Alias) pick(number float64) string {
	for _, version := range slices.Sorted(maps.Keys(a.Weights)) {
		if number -= a.Weights[version]; number < 0 {
			return version
		}
	}
	return a.Version
}

// A version is one version's environments. Guarded by Function.mu but for what is static.
type version struct {
	about     Version             // static
	cfg       *environment.Config // static, of environments on demand
	ahead     *environment.Config // static, of provisioned ones
	replaced  bool                // there is newer code of that name: environments end with what they do
	idle      []*life             // frozen, most recently used last; provisioned ones are in ready
	ready     []*life             // frozen, provisioned
	provision provision
	fleet     fleet // on Managed Instances
}

func newVersion(about Version) *version {
	about.Revision = uuid.New()
	cfg, ahead := about.Config, about.Config
	ahead.Provisioned = true
	return &version{about: about, cfg: &cfg, ahead: &ahead}
}

// popIdle takes a frozen environment that can serve: a provisioned one first, since it costs money while it waits.
func (v *version) popIdle() *life {
	for _, list := range []*[]*life{&v.ready, &v.idle} {
		for len(*list) > 0 {
			last := len(*list) - 1
			l := (*list)[last]
			*list = (*list)[:last]
			if l.env.Alive() && l.ctx.Err() == nil {
				return l
			}
		}
	}
	return nil
}

func (v *version) pushIdle(l *life) {
	if l.provisioned {
		v.ready = append(v.ready, l)
	} else {
		v.idle = append(v.idle, l)
	}
}

// removeIdle returns false if the environment is not among the frozen ones.
func (v *version) removeIdle(l *life) bool {
	for _, list := range []*[]*life{&v.ready, &v.idle} {
		if i := slices.Index(*list, l); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			return true
		}
	}
	return false
}

// Resolve returns the version that an invocation of the qualifier runs, at random where the alias has weights. ok is false if there
// is no such version or alias.
func (f *Function) Resolve(qualifier string) (version string, ok bool) {
	if alias, ok := f.Alias(qualifier); ok {
		return alias.pick(rand.Float64()), true
	}
	_, ok = f.Version(qualifier)
	return qualifier, ok
}
