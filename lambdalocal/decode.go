package lambdalocal

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/spelling"
)

// parse reads YAML over the defaults. It walks the nodes itself, to report all mistakes, with their paths: the library stops
// at the first unknown key. A key without a value keeps its default.
func parse(text []byte) (Config, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return Config{}, err
	}
	cfg := Default()
	if len(document.Content) == 0 {
		return cfg, nil
	}
	var d decoder
	d.value("", document.Content[0], reflect.ValueOf(&cfg).Elem())
	if len(d) > 0 {
		return Config{}, errors.Join(d...)
	}
	return cfg, nil
}

// A decoder collects the mistakes of one document.
type decoder mistakes

func (d *decoder) fail(node *yaml.Node, path, format string, args ...any) {
	if path == "" {
		path = "config"
	}
	(*mistakes)(d).check(false, path, "line %d: %s", node.Line, fmt.Sprintf(format, args...))
}

// A decodable type does not start from its zero value, or is not always a mapping.
type decodable interface {
	decode(d *decoder, path string, node *yaml.Node)
}

// value decodes a node into the target, whose type says what the node must be. The types bound the depth, so an alias may
// contain itself.
func (d *decoder) value(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return
	}
	if own, ok := target.Addr().Interface().(decodable); ok {
		own.decode(d, path, node)
		return
	}
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
		d.value(path, node, target.Elem())
	case reflect.Struct:
		d.structure(path, node, target)
	case reflect.Map:
		d.mapping(path, node, target)
	case reflect.Slice:
		d.sequence(path, node, target)
	default:
		d.scalar(path, node, target)
	}
}

func (d *decoder) structure(path string, node *yaml.Node, target reflect.Value) {
	fields := map[string]reflect.Value{}
	for i := range target.NumField() {
		fields[target.Type().Field(i).Tag.Get("yaml")] = target.Field(i)
	}
	d.pairs(path, node, func(path string, key, value *yaml.Node) {
		field, known := fields[key.Value]
		if !known {
			d.fail(key, path, "unknown key%s", spelling.Suggest(key.Value, slices.Sorted(maps.Keys(fields))))
			return
		}
		d.value(path, value, field)
	})
}

func (d *decoder) mapping(path string, node *yaml.Node, target reflect.Value) {
	all := reflect.MakeMap(target.Type())
	d.pairs(path, node, func(path string, key, value *yaml.Node) {
		element := reflect.New(target.Type().Elem()).Elem()
		d.value(path, value, element)
		all.SetMapIndex(reflect.ValueOf(key.Value), element)
	})
	target.Set(all)
}

// pairs calls do for each key and its value, once per key.
func (d *decoder) pairs(path string, node *yaml.Node, do func(path string, key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		d.fail(node, path, "must be a mapping of keys")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		at := key.Value
		if path != "" {
			at = path + "." + at
		}
		if seen[key.Value] {
			d.fail(key, at, "given twice")
			continue
		}
		seen[key.Value] = true
		do(at, key, node.Content[i+1])
	}
}

func (d *decoder) sequence(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		d.fail(node, path, "must be a list")
		return
	}
	list := reflect.MakeSlice(target.Type(), len(node.Content), len(node.Content))
	for i, element := range node.Content {
		d.value(fmt.Sprintf("%s[%d]", path, i), element, list.Index(i))
	}
	target.Set(list)
}

func (d *decoder) scalar(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.ScalarNode {
		d.fail(node, path, "must be %s", article(target.Type()))
	} else if node.Decode(target.Addr().Interface()) != nil {
		d.fail(node, path, "must be %s, got %q", article(target.Type()), node.Value)
	}
}

// article says what a scalar must be.
func article(of reflect.Type) string {
	switch {
	case of == reflect.TypeFor[time.Duration]():
		return "a duration such as 1.5s"
	case of.Kind() == reflect.Bool:
		return "true or false"
	case of.Kind() == reflect.Float64:
		return "a number"
	case of.Kind() == reflect.String:
		return "text"
	default:
		return "a whole number"
	}
}

// decode starts from the defaults.
func (f *Function) decode(d *decoder, path string, node *yaml.Node) {
	*f = DefaultFunction("")
	d.structure(path, node, reflect.ValueOf(f).Elem())
}

// decode takes an argument list, or a mapping.
func (x *Extension) decode(d *decoder, path string, node *yaml.Node) {
	if node.Kind == yaml.SequenceNode {
		d.value(path, node, reflect.ValueOf(&x.Command).Elem())
	} else {
		d.structure(path, node, reflect.ValueOf(x).Elem())
	}
	if x.Name == "" && program(x.Command) {
		x.Name = filepath.Base(x.Command[0])
	}
}

// decode takes a duration, or a mapping. It starts from nothing: a range replaces a default range.
func (s *Span) decode(d *decoder, path string, node *yaml.Node) {
	*s = Span{}
	if node.Kind == yaml.ScalarNode {
		d.value(path, node, reflect.ValueOf(&s.Min).Elem())
		s.Max = s.Min
		return
	}
	d.structure(path, node, reflect.ValueOf(s).Elem())
}
