package config

import (
	"fmt"
	"reflect"
	"slices"
)

// Changes are the keys in which a configuration differs from the one before it. An element of a list is called by its name,
// functions[web].queue.limit; one that is new or gone is functions[web] alone.
type Changes struct {
	Taken   []string // that can be used without a restart
	Restart []string // that cannot: the value of before holds until then
}

// None reports whether the two are the same.
func (c Changes) None() bool { return len(c.Taken)+len(c.Restart) == 0 }

// Over returns what holds when next follows the valid configuration c without a restart: next, with the values of c for keys
// that need one. The error says what of that does not fit together; it names those keys, because they are the likely reason.
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
		next.Set(now) // nobody takes the one for another
	case EffectOf(path) == AtRestart:
		changes.Restart = append(changes.Restart, path)
		next.Set(now)
	default:
		changes.Taken = append(changes.Taken, path)
	}
}

// alike takes a list that is empty for one that is not given.
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

// inBoth are the names in a list that another has too, in its order.
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

// compareNamed compares the elements of lists that have names. Their order says which of two routes wins that are as specific as
// each other.
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
