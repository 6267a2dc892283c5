package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// problems collects mistakes in the order in which they are found.
type problems struct{ found []error }

// A mistake is what is wrong at a path.
type mistake struct {
	path string
	err  error
}

func (m *mistake) Error() string { return m.path + ": " + m.err.Error() }
func (m *mistake) Unwrap() error { return m.err }

// add reports a mistake at a path.
func (p *problems) add(path, format string, args ...any) {
	p.found = append(p.found, &mistake{path, fmt.Errorf(format, args...)})
}

// merge adds the mistakes in err, except those at paths that have been reported already. It returns false if err is not a list of
// mistakes.
func (p *problems) merge(err error) bool {
	if err == nil {
		return true
	}
	list, joined := err.(interface{ Unwrap() []error })
	if !joined {
		return false
	}
	before := p.found
	for _, err := range list.Unwrap() {
		if !slices.ContainsFunc(before, func(other error) bool { return samePath(err, other) }) {
			p.found = append(p.found, err)
		}
	}
	return true
}

func samePath(a, b error) bool {
	var x, y *mistake
	return errors.As(a, &x) && errors.As(b, &y) && x.path == y.path
}

// err returns all mistakes, one a line, or nil.
func (p *problems) err() error { return errors.Join(p.found...) }

// join extends a path by a key.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// keyOf returns a field's key in the file.
func keyOf(field reflect.StructField) string { return field.Tag.Get("yaml") }

// keysOf returns the keys of a struct in order.
func keysOf(v reflect.Value) []string {
	keys := make([]string, v.NumField())
	for i := range keys {
		keys[i] = keyOf(v.Type().Field(i))
	}
	return keys
}

// fieldsOf returns the fields of a struct by key.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value, v.NumField())
	for i, key := range keysOf(v) {
		fields[key] = v.Field(i)
	}
	return fields
}

// suggest returns ", did you mean X?" for the nearest of the known names, or nothing when none is near.
func suggest(name string, known []string) string {
	if near := nearest(name, known, 1+len(name)/2); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}

// nearest returns the known name that is most like name, or nothing when none is nearer than limit.
func nearest(name string, known []string, limit int) (best string) {
	for _, candidate := range known {
		if max(len(name)-len(candidate), len(candidate)-len(name)) >= limit {
			continue // at least so many bytes are to insert or delete
		}
		if d := distance(name, candidate); d < limit {
			best, limit = candidate, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace to turn a into b (Levenshtein), one row at a time.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
