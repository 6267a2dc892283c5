package config

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// forever is the upper bound of durations that have no natural one. A value above it is more likely a typing error.
const forever = 24 * time.Hour

// MaxQueueTimeout limits queue.timeout to half of the hour that Envoy waits for an answer: after a restart of the control plane a request
// waits anew.
const MaxQueueTimeout = 30 * time.Minute

func (c Config) validateFunctions(p *problems) {
	names, routes := map[string]string{}, map[string]string{}
	for i, function := range c.Functions {
		path := fmt.Sprintf("functions[%d]", i)
		checkName(p, path+".name", function.Name)
		checkUnique(p, path+".name", function.Name, names)
		function.validate(p, path)
		if function.Provider == ProviderLambda {
			c.validateName(p, path+".lambda", function.Lambda)
		}
		if function.Provider == ProviderStatic && c.Relay.TLS == RelayTLSAuto {
			p.add(path+".provider", "static needs relay.tls files or off: a CA made at start is handed over in invocations only")
		}
		for j, route := range function.Routes {
			c.validateRoute(p, fmt.Sprintf("%s.routes[%d]", path, j), route, routes)
		}
	}
}

func (f Function) validate(p *problems, path string) {
	oneOf(p, path+".provider", f.Provider, ProviderLambda, ProviderStatic)
	f.validateProvider(p, path)
	if len(f.Routes) == 0 {
		p.add(path+".routes", "must have at least one element, or no request reaches the function")
	}
	within(p, path+".queue.limit", f.Queue.Limit, 0, 1_000_000)
	positive(p, path+".queue.timeout", f.Queue.Timeout, MaxQueueTimeout)
	f.Timeouts.validate(p, path+".timeouts")
	f.Scaling.validate(p, path+".scaling")
	f.validateLinger(p, path+".scaling.linger")
	f.validateEnvironment(p, path+".environment")
	f.Rollout.validate(p, path+".rollout")
	f.ServerTiming.validate(p, path+".server_timing")
	if f.Provider == ProviderStatic && f.Scaling.MaxEnvironments != 0 {
		p.add(path+".scaling.max_environments", "has no effect, because provider is static")
	}
}

// validateLinger bounds linger, so that an invocation has time for requests as well.
func (f Function) validateLinger(p *problems, path string) {
	switch linger, most := f.Scaling.Linger, f.Lambda.Timeout/3; {
	case linger < 0:
		p.add(path, "must not be negative, got %s", linger)
	case linger > 0 && f.Provider == ProviderStatic:
		p.add(path, "has no effect, because provider is static: nothing freezes such peers")
	case f.Provider == ProviderLambda && linger > most && most > 0:
		p.add(path, "must be at most a third of lambda.timeout, which is %s, got %s", f.Lambda.Timeout, linger)
	}
}

func (f Function) validateEnvironment(p *problems, path string) {
	within(p, path+".max_requests", f.Environment.MaxRequests, 0, 1_000_000_000)
	within(p, path+".max_age", f.Environment.MaxAge, 0, forever)
	if f.Provider != ProviderStatic {
		return
	}
	if f.Environment.MaxRequests != 0 {
		p.add(path+".max_requests", "has no effect, because provider is static")
	}
	if f.Environment.MaxAge != 0 {
		p.add(path+".max_age", "has no effect, because provider is static")
	}
}

func (f Function) validateProvider(p *problems, path string) {
	if f.Provider == ProviderStatic {
		unused(p, path+".lambda.function_name", f.Lambda.FunctionName, "provider is static")
		unused(p, path+".lambda.qualifier", f.Lambda.Qualifier, "provider is static")
		unused(p, path+".lambda.region", f.Lambda.Region, "provider is static")
		unused(p, path+".lambda.assume_role", f.Lambda.AssumeRole, "provider is static")
		checkToken(p, path+".static.token_file", f.Static.TokenFile)
		return
	}
	unused(p, path+".static.token_file", f.Static.TokenFile, "provider is "+f.Provider)
	f.Lambda.validate(p, path+".lambda")
}

func (l Lambda) validate(p *problems, path string) {
	if !qualifierPattern.MatchString(l.Qualifier) {
		p.add(path+".qualifier", "must be a version or an alias, got %q", l.Qualifier)
	}
	if !regionPattern.MatchString(l.Region) {
		p.add(path+".region", "must be a region such as eu-central-1, got %q", l.Region)
	}
	checkRole(p, path+".assume_role", l.AssumeRole)
	within(p, path+".timeout", l.Timeout, time.Second, 900*time.Second)
	if l.Timeout%time.Second != 0 {
		p.add(path+".timeout", "must be whole seconds, as in Lambda, got %s", l.Timeout)
	}
	if l.MemoryMB != 0 {
		within(p, path+".memory_mb", l.MemoryMB, 128, 10240)
	}
	oneOf(p, path+".architecture", l.Architecture, Architectures()...)
	if l.Network != "" {
		oneOf(p, path+".network", l.Network, NetworkVPC, NetworkPublic)
	}
}

func (t Timeouts) validate(p *problems, path string) {
	within(p, path+".first_byte", t.FirstByte, 0, forever)
	within(p, path+".idle", t.Idle, 0, forever)
	within(p, path+".total", t.Total, 0, forever)
	within(p, path+".half_closed", t.HalfClosed, time.Millisecond, time.Hour)
}

// LearnedSlots is the highest concurrency that is learned where scaling.concurrency is 0.
const LearnedSlots = 64

// Slots is the most requests that an instance is given at once.
func (s Scaling) Slots() int {
	if s.Concurrency == 0 {
		return LearnedSlots
	}
	return s.Concurrency
}

func (s Scaling) validate(p *problems, path string) {
	within(p, path+".concurrency", s.Concurrency, 0, MaxConcurrency)
	within(p, path+".min", s.Min, 0, MaxInstances)
	within(p, path+".max", s.Max, 1, MaxInstances)
	if s.Min > s.Max {
		p.add(path+".min", "must be at most max, got %d with max %d", s.Min, s.Max)
	}
	within(p, path+".max_environments", s.MaxEnvironments, 0, 2*MaxInstances)
	if s.MaxEnvironments > 0 && s.Min > s.MaxEnvironments {
		p.add(path+".min", "must be at most max_environments, got %d with max_environments %d", s.Min, s.MaxEnvironments)
	}
	within(p, path+".starts_in_progress", s.StartsInProgress, 1, 1000)
	if s.StartsPerSecond <= 0 || s.StartsPerSecond > 1000 || math.IsNaN(s.StartsPerSecond) {
		p.add(path+".starts_per_second", "must be more than 0 and at most 1000, got %v", s.StartsPerSecond)
	}
	within(p, path+".starts_burst", s.StartsBurst, 1, 1000)
	positive(p, path+".start_timeout", s.StartTimeout, 15*time.Minute)
	oneOf(p, path+".preference", s.Preference, PreferCost, PreferBalanced, PreferLatency)
	positive(p, path+".drain_timeout", s.DrainTimeout, forever)
}

// MaxSteps bounds the steps of a rollout.
const MaxSteps = 20

// Validate reports everything that is wrong with r, by the names of its keys.
func (r Rollout) Validate() error {
	var p problems
	r.validate(&p, "")
	return p.err()
}

func (r Rollout) validate(p *problems, path string) {
	if r.Watch != 0 {
		within(p, join(path, "watch"), r.Watch, time.Second, time.Hour)
	}
	if len(r.Steps) > MaxSteps {
		p.add(join(path, "steps"), "must be at most %d, got %d", MaxSteps, len(r.Steps))
	}
	last := 0.0
	for i, step := range r.Steps[:min(len(r.Steps), MaxSteps)] {
		if !(step > last && step <= 1) { // not a number either
			p.add(fmt.Sprintf("%s[%d]", join(path, "steps"), i), "must be above the one before and at most 1, got %v", step)
		}
		last = step
	}
	within(p, join(path, "hold"), r.Hold, 0, time.Hour)
	if !(r.MaxErrors >= 0 && r.MaxErrors <= 1) {
		p.add(join(path, "max_errors"), "must be 0 to 1, got %v", r.MaxErrors)
	}
	if r.MaxSlower != 0 && !(r.MaxSlower > 1 && r.MaxSlower <= 1000) {
		p.add(join(path, "max_slower"), "must be 0, or above 1 and at most 1000, got %v", r.MaxSlower)
	}
}

// validateRoute checks one route; seen maps the conditions of the routes before it to their paths.
func (c Config) validateRoute(p *problems, path string, r Route, seen map[string]string) {
	c.validateRouteListener(p, path, r.Listener)
	checkHost(p, path+".host", r.Host)
	checkPrefix(p, path+".path", r.Path)
	if r.StripPrefix && strings.Trim(r.Path, "/") == "" {
		p.add(path+".strip_prefix", "needs a path to strip")
	}
	if r.Header != nil {
		checkHeader(p, path+".header", *r.Header)
	}
	if first, twice := seen[r.conditions()]; twice {
		p.add(path, "has the same conditions as %s", first)
		return
	}
	seen[r.conditions()] = path
}

func (c Config) validateRouteListener(p *problems, path, name string) {
	if name == "" {
		return
	}
	names := make([]string, len(c.Listeners))
	for i, listener := range c.Listeners {
		if names[i] = listener.Name; names[i] == name {
			return
		}
	}
	p.add(path+".listener", "unknown listener %q%s", name, suggest(name, names))
}

// conditions returns the same text for routes that match the same requests.
func (r Route) conditions() string {
	header := HeaderMatch{}
	if r.Header != nil {
		header = *r.Header
	}
	return fmt.Sprintf("%q %q %q %q %q",
		r.Listener, r.Host, strings.TrimSuffix(r.Path, "/"), strings.ToLower(header.Name), header.Value)
}
