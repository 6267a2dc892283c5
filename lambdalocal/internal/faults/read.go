package faults

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/spelling"
)

// Parse reads a fault in JSON. Like Validate, which it includes, it returns all that is wrong.
func Parse(text []byte, at string, known Known) (Fault, []error) {
	var f Fault
	var m mistakes
	if f.read(&m, at, text) {
		f.validate(&m, at, known)
	}
	return f, m.errors
}

// UnmarshalJSON takes durations such as "1.5s", and no unknown keys. It does not validate.
func (f *Fault) UnmarshalJSON(in []byte) error {
	*f = Fault{}
	var m mistakes
	f.read(&m, "", in)
	return errors.Join(m.errors...)
}

// read fills in the fields. It is false if the text is no object.
func (f *Fault) read(m *mistakes, at string, text []byte) bool {
	var values map[string]json.RawMessage
	if json.Unmarshal(text, &values) != nil || values == nil {
		m.add(cmp.Or(strings.TrimSuffix(at, "."), "fault"), "must be an object")
		return false
	}
	fields := f.fields()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		field, known := fields[key]
		switch {
		case !known:
			m.add(at+key, "unknown key%s", spelling.Suggest(key, slices.Sorted(maps.Keys(fields))))
		case !set(field, values[key]):
			m.add(at+key, "must be %s, got %s", words[field.Kind()], values[key])
		}
	}
	return true
}

// fields are those of the fault, by their keys, which are the same in YAML and JSON.
func (f *Fault) fields() map[string]reflect.Value {
	fault, all := reflect.ValueOf(f).Elem(), map[string]reflect.Value{}
	for i := range fault.NumField() {
		all[fault.Type().Field(i).Tag.Get("yaml")] = fault.Field(i)
	}
	return all
}

// words say what a field must be. Durations are the only fields of their kind.
var words = map[reflect.Kind]string{
	reflect.String: "text", reflect.Int: "a whole number", reflect.Float64: "a number", reflect.Int64: `a duration such as "1.5s"`,
}

func set(field reflect.Value, value json.RawMessage) bool {
	if field.Type() != reflect.TypeFor[time.Duration]() {
		return json.Unmarshal(value, field.Addr().Interface()) == nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return false
	}
	if text == "" {
		return true
	}
	d, err := time.ParseDuration(text)
	field.SetInt(int64(d))
	return err == nil
}
