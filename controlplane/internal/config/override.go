package config

import (
	"reflect"
	"slices"
	"strings"
)

// A leaf is a scalar outside of lists. The environment and flags can set leaves, and nothing else.
type leaf struct {
	path  string
	value reflect.Value
}

// leavesOf returns the leaves of cfg in the order of the tree. Setting a leaf changes cfg.
func leavesOf(cfg *Config) []leaf {
	return appendLeaves(nil, "", reflect.ValueOf(cfg).Elem())
}

func appendLeaves(leaves []leaf, path string, v reflect.Value) []leaf {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves = appendLeaves(leaves, join(path, keyOf(v.Type().Field(i))), v.Field(i))
		}
		return leaves
	case reflect.Slice, reflect.Pointer:
		return leaves
	}
	return append(leaves, leaf{path, v})
}

// applyOverrides sets the leaves that "path=value" texts name.
func applyOverrides(leaves []leaf, overrides []string, p *problems) {
	for _, entry := range overrides {
		path, text, found := strings.Cut(entry, "=")
		if !found {
			p.add("--set "+entry, "must be key=value")
			continue
		}
		set(leaves, func(l leaf) string { return l.path }, "", path, text, "unknown key", p)
	}
}

// set sets the leaf that naming calls name. All names begin with prefix, so hints do not compare it.
func set(leaves []leaf, naming func(leaf) string, prefix, name, text, unknown string, p *problems) {
	i := slices.IndexFunc(leaves, func(l leaf) bool { return naming(l) == name })
	if i < 0 {
		p.add(name, "%s%s", unknown, hint(leaves, naming, prefix, name))
		return
	}
	if err := setScalar(leaves[i].value, text); err != nil {
		p.add(name, "%w", err)
	}
}

// hint says what may have been meant by a name that no leaf has.
func hint(leaves []leaf, naming func(leaf) string, prefix, name string) string {
	short := strings.TrimPrefix(name, prefix)
	for _, list := range []string{"functions", "listeners"} {
		if strings.HasPrefix(strings.ToLower(short), list) {
			return ": " + list + " can be set in the file only"
		}
	}
	known := make([]string, len(leaves))
	for i, l := range leaves {
		known[i] = strings.TrimPrefix(naming(l), prefix)
	}
	if near := nearest(short, known, 1+len(short)/2); near != "" {
		return ", did you mean " + prefix + near + "?"
	}
	return ""
}
