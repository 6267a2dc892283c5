package config

import (
	"fmt"
	"reflect"
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
	case reflect.DeepEqual(now.Interface(), next.Interface()):
	case EffectOf(path) == AtRestart:
		changes.Restart = append(changes.Restart, path)
		next.Set(now)
	default:
		changes.Taken = append(changes.Taken, path)
	}
}

func hasNames(element reflect.Type) bool {
	if element.Kind() != reflect.Struct {
		return false
	}
	_, named := element.FieldByName("Name")
	return named
}

// compareNamed compares the elements of lists that have names. Their order is none of a function's or listener's business.
func compareNamed(path string, now, next reflect.Value, changes *Changes) {
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
