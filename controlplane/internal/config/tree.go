package config

import (
	"errors"
	"fmt"
	"reflect"
)

// problems collects mistakes in the order in which they are found.
type problems struct{ found []error }

// add reports a mistake at a path.
func (p *problems) add(path, format string, args ...any) {
	p.found = append(p.found, fmt.Errorf("%s: %w", path, fmt.Errorf(format, args...)))
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
	best, least := "", 1+len(name)/2
	for _, candidate := range known {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
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
