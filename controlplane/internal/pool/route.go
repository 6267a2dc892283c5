package pool

import "github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"

// A Route says what version of the function's code new instances run. The zero value leaves that to Lambda, which follows the
// function's qualifier.
type Route struct {
	Version string  `json:"version,omitempty"`
	Extra   string  `json:"extra,omitempty"` // a second version, which gets a part; empty: none
	Share   float64 `json:"share,omitempty"` // of the instances, that run Extra
}

// pinned reports whether instances are started by the number of their version, whatever the qualifier points to meanwhile.
func (r Route) pinned() bool { return r.Version != "" }

// valid is the route without what none can have: a share without a second version, or beyond all instances.
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

// incoming are the versions that get more than they had.
func (r Route) incoming(from Route) []string {
	var out []string
	for _, v := range []string{r.Version, r.Extra} {
		if r.share(v) > from.share(v) {
			out = append(out, v)
		}
	}
	return out
}

// pick is the version of a start, so that each has its share of the instances.
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
	if float64(extra)+0.5 < r.Share*float64(all) {
		return r.Extra
	}
	return r.Version
}

// An order to start an instance.
type order struct {
	pin   string // the version to invoke; empty: as the qualifier points to
	fresh bool   // it runs what the rollout brings
	fleet *scaler.Fleet
}
