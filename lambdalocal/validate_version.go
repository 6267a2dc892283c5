package lambdalocal

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
)

// The limits are Lambda's, but for the least age: tests have no minute.
const (
	maxEventAge     = 6 * time.Hour
	maxEventRetries = 2
)

func (e Events) validate(m *mistakes, path string) {
	m.check(e.MaxAge > 0 && e.MaxAge <= maxEventAge, path+".max_age", "must be above 0s and at most %v, got %v", maxEventAge, e.MaxAge)
	m.check(e.MaxRetries >= 0 && e.MaxRetries <= maxEventRetries, path+".max_retries", "must be 0 to %d, got %d", maxEventRetries, e.MaxRetries)
	m.check(e.RetryDelay > 0, path+".retry_delay", "must be positive, got %v", e.RetryDelay)
	m.check(e.ThrottleDelay > 0, path+".throttle_delay", "must be positive, got %v", e.ThrottleDelay)
}

func (f Function) validateVersions(m *mistakes, path string) {
	names := map[string]bool{}
	for i, v := range f.Versions {
		at := fmt.Sprintf("%s.versions[%d]", path, i)
		m.check(versionName.MatchString(v.Name), at+".name", "must be a positive number, got %q", v.Name)
		m.check(!names[v.Name], at+".name", "%q is taken", v.Name)
		m.check(v.ProvisionedConcurrency >= 0, at+".provisioned_concurrency", "must not be negative, got %d", v.ProvisionedConcurrency)
		names[v.Name] = true
	}
}

func (f Function) validateAliases(m *mistakes, path string) {
	names := map[string]bool{}
	for i, a := range f.Aliases {
		at := fmt.Sprintf("%s.aliases[%d]", path, i)
		m.check(function.IsAliasName(a.Name), at+".name",
			"must be 1 to 128 letters, digits, - or _, and not a number, got %q", a.Name)
		m.check(!names[a.Name], at+".name", "%q is taken", a.Name)
		names[a.Name] = true
		m.check(f.hasVersion(a.Version), at+".version", "no version is named %q", a.Version)
		f.validateWeights(m, a, at+".weights")
	}
}

func (f Function) validateWeights(m *mistakes, a Alias, path string) {
	m.check(len(a.Weights) <= function.MaxWeights, path, "must have %d version at most, got %d", function.MaxWeights, len(a.Weights))
	sum := 0.0
	for _, version := range slices.Sorted(maps.Keys(a.Weights)) {
		weight := a.Weights[version]
		at := fmt.Sprintf("%s[%s]", path, version)
		m.check(f.hasVersion(version) && version != a.Version && version != function.Latest, at, "must be another published version")
		m.check(weight >= 0 && weight <= 1, at, "must be 0 to 1, got %v", weight)
		sum += weight
	}
	m.check(len(a.Weights) == 0 || a.Version != function.Latest, path, "must be empty: the alias stands for %s, which is not published", function.Latest)
	m.check(sum <= 1, path, "must sum to 1 at most, got %v", sum)
}

func (f Function) hasVersion(name string) bool {
	return name == function.Latest || slices.ContainsFunc(f.Versions, func(v Version) bool { return v.Name == name })
}
