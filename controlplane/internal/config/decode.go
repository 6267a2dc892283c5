package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decode reads one YAML document into cfg. A key without a value keeps its default. It walks the nodes itself for two reasons: the
// library's strict mode names lines but no paths, and the elements of a list must start from their defaults.
func decode(text []byte, cfg *Config) error {
	node, err := parse(text)
	if err != nil || node == nil {
		return err
	}
	var d decoder
	d.value("", node, reflect.ValueOf(cfg).Elem())
	return d.err()
}

// parse returns the root of the only document in text; nil if text has no content.
func parse(text []byte) (*yaml.Node, error) {
	var document, second yaml.Node
	source := yaml.NewDecoder(bytes.NewReader(text))
	if err := source.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, indented(text, err)
	}
	switch err := source.Decode(&second); {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, err
	}
	return nil, fmt.Errorf("line %d: a second document; only one is read", second.Line)
}

// indented names the first tab that indents a line, which YAML refuses in words that do not mention it.
func indented(text []byte, err error) error {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]; bytes.ContainsRune(indent, '\t') {
			tab := fmt.Errorf("line %d: a tab indents it; YAML wants blanks", number)
			if strings.Contains(err.Error(), "cannot start any token") || strings.Contains(err.Error(), "tab character") {
				return tab // YAML may name the line before or after
			}
			return fmt.Errorf("%w: %w", tab, err)
		}
	}
	return err
}

// A decoder collects the mistakes of one document.
type decoder struct{ problems }

// fail reports a mistake at a node.
func (d *decoder) fail(node *yaml.Node, path, format string, args ...any) {
	if path == "" {
		path = "(top level)"
	}
	d.add(path, fmt.Sprintf("line %d: ", node.Line)+format, args...)
}

// value decodes a node into target, whose type decides what the node must be. It goes no deeper than the type does, so an alias that
// contains itself ends at a scalar.
func (d *decoder) value(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return
	}
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
		d.value(path, node, target.Elem())
	case reflect.Struct:
		d.mapping(path, node, target)
	case reflect.Slice:
		d.sequence(path, node, target)
	default:
		d.scalar(path, node, target)
	}
}

func (d *decoder) mapping(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.MappingNode {
		d.fail(node, path, "must be a mapping of keys")
		return
	}
	fields, seen := fieldsOf(target), map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		name := key.Value
		field, known := fields[name]
		switch {
		case !known || key.Kind != yaml.ScalarNode:
			d.fail(key, join(path, name), "unknown key%s", suggest(name, keysOf(target)))
		case seen[name]:
			d.fail(key, join(path, name), "given twice")
		default:
			d.value(join(path, name), node.Content[i+1], field)
		}
		seen[name] = true
	}
}

func (d *decoder) sequence(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		d.fail(node, path, "must be a list")
		return
	}
	list := reflect.MakeSlice(target.Type(), len(node.Content), len(node.Content))
	for i, element := range node.Content {
		list.Index(i).Set(startOf(target.Type().Elem()))
		d.value(fmt.Sprintf("%s[%d]", path, i), element, list.Index(i))
	}
	target.Set(list)
}

func (d *decoder) scalar(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.ScalarNode {
		d.fail(node, path, "must be %s", article(target.Type()))
		return
	}
	if err := setScalar(target, node.Value); err != nil {
		d.fail(node, path, "%w", err)
	}
}

// startOf returns what an element of a list starts from.
func startOf(element reflect.Type) reflect.Value {
	switch element {
	case reflect.TypeFor[Function]():
		return reflect.ValueOf(DefaultFunction())
	case reflect.TypeFor[Listener]():
		return reflect.ValueOf(DefaultListener())
	}
	return reflect.Zero(element)
}
