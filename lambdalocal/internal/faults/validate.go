package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Known is what faults may name.
type Known struct {
	Functions []string
	Links     []string // listen addresses
}

// Validate returns all that is wrong with the fault, each with its path: the key behind at, as in "faults[0].kind".
func (f Fault) Validate(at string, known Known) []error {
	var m mistakes
	f.validate(&m, at, known)
	return m.errors
}

func (f Fault) validate(m *mistakes, at string, known Known) {
	r, ok := kinds[f.Kind]
	if !ok {
		m.add(at+"kind", "must be one of %s, got %q", list(slices.Sorted(maps.Keys(kinds))), f.Kind)
	}
	m.oneOf(at+"function", "a function", f.Function, known.Functions)
	f.validateLimits(m, at)
	if ok {
		f.validateFields(m, at, r, known)
	}
}

func (f Fault) validateLimits(m *mistakes, at string) {
	m.check(f.For >= 0, at+"for", "must not be negative, got %v", f.For)
	m.check(f.Times >= 0, at+"times", "must not be negative, got %d", f.Times)
	m.check(f.Every >= 0, at+"every", "must not be negative, got %d", f.Every)
	m.check(f.Probability >= 0 && f.Probability <= 1, at+"probability", "must be above 0 and at most 1, or left out, got %v", f.Probability)
}

// validateFields refuses fields that have no meaning for the kind.
func (f Fault) validateFields(m *mistakes, at string, r rule, known Known) {
	m.check(r.delay != required || f.Delay > 0, at+"delay", "must be positive, got %v", f.Delay)
	m.check(r.delay != optional || f.Delay >= 0, at+"delay", "must not be negative, got %v", f.Delay)
	m.check(r.delay != never || f.Delay == 0, at+"delay", "means nothing to %s", f.Kind)
	m.check(f.Kind == Throttle || f.Reason == "", at+"reason", "means nothing to %s", f.Kind)
	m.check(f.Reason == "" || slices.Contains(reasons, f.Reason), at+"reason", "must be one of %s, got %q", list(reasons), f.Reason)
	m.check(r.refusal != "" || f.Message == "", at+"message", "means nothing to %s", f.Kind)
	if r.point != atLink {
		m.check(f.Link == "", at+"link", "means nothing to %s", f.Kind)
		m.check(f.Environment == "", at+"environment", "means nothing to %s", f.Kind)
		return
	}
	m.oneOf(at+"link", "the listen address of a link", f.Link, known.Links)
	m.check(len(known.Links) > 0, at+"kind", "%s needs a link, and there is none", f.Kind)
	m.check(f.Times == 0, at+"times", "means nothing to %s", f.Kind)
	m.check(f.Every == 0, at+"every", "means nothing to %s", f.Kind)
	m.check(f.Probability == 0, at+"probability", "means nothing to %s", f.Kind)
	m.check(!r.moment || f.For == 0, at+"for", "means nothing to %s, which is over at once", f.Kind)
}

// mistakes keep only the first of each path: a value that cannot be read would cause others.
type mistakes struct {
	errors []error
	paths  []string
}

func (m *mistakes) add(path, format string, args ...any) {
	if !slices.Contains(m.paths, path) {
		m.paths = append(m.paths, path)
		m.errors = append(m.errors, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	}
}

func (m *mistakes) check(ok bool, path, format string, args ...any) {
	if !ok {
		m.add(path, format, args...)
	}
}

func (m *mistakes) oneOf(path, what, name string, all []string) {
	ok := name == "" || name == Everything || slices.Contains(all, name)
	m.check(ok, path, "must be %s, or * for all, got %q", what, name)
}

func list[T ~string](names []T) string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = string(name)
	}
	return strings.Join(words, ", ")
}
