package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// An object is a JSON object whose members are read by name and type. null is the same as nothing. A member of another
// type counts as a fault of the event.
type object struct {
	path    string // with a final dot; empty for the event itself
	members map[string]json.RawMessage
	faults  *[]string
}

func newObject(data []byte) (object, bool) {
	o := object{faults: new([]string)}
	err := json.Unmarshal(data, &o.members)
	return o, err == nil
}

func (o object) has(name string) bool {
	raw, ok := o.members[name]
	return ok && string(raw) != "null"
}

// marked reports whether the event has a member, and be it null.
func (o object) marked(name string) bool {
	_, ok := o.members[name]
	return ok
}

// maxFaults bounds how much of a bad event is explained.
const maxFaults = 8

func (o object) fault(name, what string) {
	if len(*o.faults) < maxFaults {
		*o.faults = append(*o.faults, o.path+name+": "+what)
	}
}

func (o object) error() error {
	if len(*o.faults) == 0 {
		return nil
	}
	slices.Sort(*o.faults)
	return &Error{Type: "LambdaDispatch.InvalidEvent", Message: "event: " + strings.Join(*o.faults, "; ")}
}

// peek returns a member that is an object, and an empty one for anything else, which is no fault.
func (o object) peek(name string) object {
	inner := object{path: o.path + name + ".", faults: o.faults}
	_ = json.Unmarshal(o.members[name], &inner.members)
	return inner
}

func (o object) object(name string) object {
	if inner := o.peek(name); inner.members != nil || !o.has(name) {
		return inner
	}
	o.fault(name, "must be an object")
	return object{faults: o.faults}
}

// text and flag return the member, or the zero value.
func (o object) text(name string) string { return read[string](o, name, "a string") }
func (o object) flag(name string) bool   { return read[bool](o, name, "true or false") }

// list returns an array of strings.
func (o object) list(name string) []string {
	var list []string
	for i, raw := range read[[]json.RawMessage](o, name, "an array") {
		if text, ok := textOf(raw); ok {
			list = append(list, text)
		} else {
			o.fault(fmt.Sprintf("%s[%d]", name, i), "must be a string")
		}
	}
	return list
}

// texts returns an object of strings.
func (o object) texts(name string) map[string]string {
	inner, texts := o.object(name), map[string]string{}
	for member := range inner.members {
		if inner.has(member) {
			texts[member] = inner.text(member)
		}
	}
	return texts
}

// lists returns an object of arrays of strings. Where alone is true, a string may stand for an array of one.
func (o object) lists(name string, alone bool) map[string][]string {
	inner, lists := o.object(name), map[string][]string{}
	for member, raw := range inner.members {
		if text, ok := textOf(raw); ok && alone {
			lists[member] = []string{text}
		} else if inner.has(member) {
			lists[member] = inner.list(member)
		}
	}
	return lists
}

func read[T any](o object, name, want string) (v T) {
	if o.has(name) && json.Unmarshal(o.members[name], &v) != nil {
		o.fault(name, "must be "+want)
	}
	return v
}

func textOf(raw json.RawMessage) (text string, ok bool) {
	ok = string(raw) != "null" && json.Unmarshal(raw, &text) == nil
	return text, ok
}
