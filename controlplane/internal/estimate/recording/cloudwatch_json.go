package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// tabs at the beginning of lines are white space to JSON, and an error to YAML.
var tabs = regexp.MustCompile(`(?m)^[\t ]+`)

// json reads JSON as YAML, whose nodes know their lines. An error begins with the line.
func (c *CloudWatch) json(source []byte) error {
	var raw json.RawMessage
	if err := json.Unmarshal(source, &raw); err != nil {
		return fmt.Errorf("%d: %w", lineOf(source, err), err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(tabs.ReplaceAll(source, []byte(" ")), &document); err != nil {
		return fmt.Errorf(" %w", err)
	}
	root := document.Content[0]
	if results := field(root, "MetricDataResults"); results != nil {
		return c.results(results)
	}
	if points := field(root, "Datapoints"); points != nil {
		return c.datapoints(text(field(root, "Label")), points)
	}
	return fmt.Errorf("%d: neither MetricDataResults nor Datapoints in it", root.Line)
}

func lineOf(text []byte, err error) int {
	offset := len(text)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = min(offset, int(syntax.Offset))
	}
	return 1 + bytes.Count(text[:offset], []byte("\n"))
}

// field is the value of a mapping's key; nil: there is none.
func field(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for k := 0; k+1 < len(node.Content); k += 2 {
		if node.Content[k].Value == key {
			return node.Content[k+1]
		}
	}
	return nil
}

func text(node *yaml.Node) string {
	if node == nil {
		return ""
	}
	return node.Value
}

// results reads what get-metric-data prints.
func (c *CloudWatch) results(results *yaml.Node) error {
	for _, result := range results.Content {
		label := text(field(result, "Label"))
		of := metricOf(label)
		if of == unknown {
			of = metricOf(text(field(result, "Id")))
		}
		if of == unknown {
			c.ignored[label] = true
			continue
		}
		times, values := field(result, "Timestamps"), field(result, "Values")
		if times == nil || values == nil || len(times.Content) != len(values.Content) {
			return fmt.Errorf("%d: %s: must have as many Timestamps as Values", result.Line, label)
		}
		for k, at := range times.Content {
			if err := c.node(of, at, values.Content[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// datapoints reads what get-metric-statistics prints.
func (c *CloudWatch) datapoints(label string, points *yaml.Node) error {
	of := metricOf(label)
	if of == unknown {
		c.ignored[label] = true
		return nil
	}
	statistic := "Average"
	if of == requests || of == bytesOf {
		statistic = "Sum"
	}
	for _, p := range points.Content {
		at, value := field(p, "Timestamp"), field(p, statistic)
		if at == nil || value == nil {
			return fmt.Errorf("%d: %s: must have Timestamp and %s", p.Line, label, statistic)
		}
		if err := c.node(of, at, value); err != nil {
			return err
		}
	}
	return nil
}

func (c *CloudWatch) node(of metric, at, value *yaml.Node) error {
	t, err := instant(at.Value)
	if err != nil {
		return fmt.Errorf("%d: %w", at.Line, err)
	}
	v, err := strconv.ParseFloat(value.Value, 64)
	if err != nil {
		return fmt.Errorf("%d: %q is not a number", value.Line, value.Value)
	}
	if err := c.add(point{of, t, v}); err != nil {
		return fmt.Errorf("%d: %w", value.Line, err)
	}
	return nil
}

// instant reads a time as AWS's tools write it.
func instant(text string) (time.Time, error) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006-01-02 15:04:05", "2006-01-02 15:04",
	} {
		if at, err := time.Parse(layout, text); err == nil && at.Year() >= 2010 && at.Year() <= 2200 {
			return at.UTC(), nil
		}
	}
	if epoch, err := strconv.ParseFloat(text, 64); err == nil && epoch > 1.2e9 && epoch < 7e9 {
		return time.Unix(int64(epoch), 0).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-11-29T12:00:00Z", text)
}
