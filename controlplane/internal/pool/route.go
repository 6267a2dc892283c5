package pool

import "github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"

// A Route says which version of the function's code new instances run. With the zero value Lambda chooses, by the function's
// qualifier.
type Route struct {
	Version string  `json:"version,omitempty"`
	Extra   string  `json:"extra,omitempty"` // a second version, which gets a share; empty: none
	Share   float64 `json:"share,omitempty"` // the share of instances that run Extra, from 0 to 1
}

// pinned reports whether instances are started by the number of their version, not by the qualifier.
func (r Route) pinned() bool { return r.Version != "" }

// valid is the route without an impossible part: a share without a second version, or one that is not from 0 to 1.
func (r Route) valid() Route {
	if r.Version == "" {
		return Route{}
	}
	if r.Extra == "" || r.Extra == r.Version || !(r.Share > 0 && r.Share <= 1) {
		return Route{Version: r.Version}
	}
	return r
}

// share is the part of the instances that is to run a version.
func (r Route) share(version string) float64 {
	switch {
	case version == "":
		return 0
	case version == r.Version && r.Extra == "":
		return 1
	case version == r.Version:
		return 1 - r.Share
	case version == r.Extra:
		return r.Share
	}
	return 0
}

// incoming are the versions that have a larger share than in from.
func (r Route) incoming(from Route) []string {
	var out []string
	for _, v := range []string{r.Version, r.Extra} {
		if r.share(v) > from.share(v) {
			out = append(out, v)
		}
	}
	return out
}

// pick chooses the version of the next start, so that each version has its share of the instances: where that is no whole number of
// them, by chance, so that it has it in the mean.
func (p *Pool) pick(r Route) string {
	if r.Extra == "" {
		return r.Version
	}
	all, extra := 1, 0
	for i := range p.Instances() {
		if i.state != Starting && i.state != Ready || i.rotating {
			continue
		}
		all++
		if i.version == r.Extra {
			extra++
		}
	}
	if p.rand.Float64() < r.Share*float64(all)-float64(extra)-1e-9 {
		return r.Extra
	}
	return r.Version
}

// An order to start an instance.
type order struct {
	pin   string // the version to invoke; empty: whatever the qualifier points to
	fresh bool   // it runs what the rollout brings
	fleet *scaler.Fleet
}
