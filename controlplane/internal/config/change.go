package config

import (
	"fmt"
	"reflect"
	"slices"
)

// Changes are the keys in which a configuration differs from the one before it. An element of a list is called by its name,
// functions[web].queue.limit; one that is new or gone is functions[web] alone.
type Changes struct {
	Taken   []string // are used at once
	Restart []string // are used after a restart; until then the value of before holds
}

// None reports whether the two are the same.
func (c Changes) None() bool { return len(c.Taken)+len(c.Restart) == 0 }

// Over returns the configuration that holds when next replaces the valid configuration c without a restart. Keys that need a restart
// keep the values of c. The error says what does not fit together then. It names those keys, because they are the likely reason.
func (c Config) Over(next Config) (Config, Changes, error) {
	next.Listeners = append([]Listener(nil), next.Listeners...)
	next.Functions = append([]Function(nil), next.Functions...)
	var changes Changes
	compare("", reflect.ValueOf(&c).Elem(), reflect.ValueOf(&next).Elem(), &changes)
	if len(changes.Restart) == 0 {
		return next, changes, nil
	}
	if err := next.Validate(); err != nil {
		return c, changes, fmt.Errorf("needs a restart, because %v cannot change before and the rest does not fit without:\n%w", changes.Restart, err)
	}
	return next, changes, nil
}

// compare notes where next differs from now, and undoes what needs a restart.
func compare(path string, now, next reflect.Value, changes *Changes) {
	switch {
	case now.Kind() == reflect.Struct:
		for i := range now.NumField() {
			compare(join(path, keyOf(now.Type().Field(i))), now.Field(i), next.Field(i), changes)
		}
	case now.Kind() == reflect.Slice && hasNames(now.Type().Elem()):
		compareNamed(path, now, next, changes)
	case alike(now, next):
		next.Set(now) // such a difference means nothing
	case EffectOf(path) == AtRestart:
		changes.Restart = append(changes.Restart, path)
		next.Set(now)
	default:
		changes.Taken = append(changes.Taken, path)
	}
}

// alike tells whether two values mean the same. An empty list means the same as none.
func alike(now, next reflect.Value) bool {
	return now.Kind() == reflect.Slice && now.Len()+next.Len() == 0 || reflect.DeepEqual(now.Interface(), next.Interface())
}

func hasNames(element reflect.Type) bool {
	if element.Kind() != reflect.Struct {
		return false
	}
	_, named := element.FieldByName("Name")
	return named
}

// inBoth returns the names that both lists have, in the order of the first.
func inBoth(list, other reflect.Value) (names []string) {
	known := map[string]bool{}
	for i := range other.Len() {
		known[other.Index(i).FieldByName("Name").String()] = true
	}
	for i := range list.Len() {
		if name := list.Index(i).FieldByName("Name").String(); known[name] {
			names = append(names, name)
		}
	}
	return names
}

// compareNamed compares lists whose elements have names. Their order counts, too: of two routes that are equally specific the first one
// wins.
func compareNamed(path string, now, next reflect.Value, changes *Changes) {
	if a, b := inBoth(now, next), inBoth(next, now); !slices.Equal(a, b) {
		changes.Taken = append(changes.Taken, path)
	}
	before := map[string]reflect.Value{}
	for i := range now.Len() {
		before[now.Index(i).FieldByName("Name").String()] = now.Index(i)
	}
	for i := range next.Len() {
		element := next.Index(i)
		name := element.FieldByName("Name").String()
		path := fmt.Sprintf("%s[%s]", path, name)
		if old, known := before[name]; known {
			compare(path, old, element, changes)
			delete(before, name)
		} else {
			changes.Taken = append(changes.Taken, path)
		}
	}
	for i := range now.Len() {
		if name := now.Index(i).FieldByName("Name").String(); before[name].IsValid() {
			changes.Taken = append(changes.Taken, fmt.Sprintf("%s[%s]", path, name))
		}
	}
}
