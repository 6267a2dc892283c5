// Package emf writes metrics of each function as log lines that CloudWatch turns into metrics (its embedded metric format). Lambda's
// own metrics of a function count invocations, which last minutes here and serve many requests.
package emf

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// Options are what New needs. All are required.
type Options struct {
	Namespace string
	Interval  time.Duration // 0: nothing is written
	Functions func() []operator.Function
	Leads     func() bool // a control plane that does not lead has nothing to say
	Out       io.Writer
	Log       logrus.FieldLogger
}

// A Writer writes what has happened since it wrote last.
type Writer struct {
	Options
	last map[string]operator.Function // by name
	led  bool                         // when it looked last
}

// New returns a Writer that has written nothing.
func New(o Options) *Writer { return &Writer{Options: o, last: map[string]operator.Function{}} }

// Run writes at each interval until ctx ends, and then what is left.
func (w *Writer) Run(ctx context.Context) error {
	if w.Interval == 0 {
		<-ctx.Done()
		return nil
	}
	w.look()
	ticker := time.NewTicker(w.Interval)
	defer ticker.Stop()
	for failing := false; ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_ = w.write(time.Now())
			return nil
		}
		err := w.write(time.Now())
		if err != nil && !failing {
			w.Log.WithError(err).Error("metrics for CloudWatch are not written")
		}
		failing = err != nil
	}
}

// look takes note of what is there, so that nothing is counted twice.
func (w *Writer) look() []operator.Function {
	list := w.Functions()
	clear(w.last)
	for _, f := range list {
		w.last[f.Name] = f
	}
	return list
}

// write writes one line for each function.
func (w *Writer) write(at time.Time) error {
	before := make(map[string]operator.Function, len(w.last))
	for name, f := range w.last {
		before[name] = f
	}
	list, leads := w.look(), w.Leads()
	speaks := leads || w.led // also what was done since, by one that has just handed over
	if w.led = leads; !speaks {
		return nil
	}
	for _, f := range list {
		line, err := json.Marshal(document(at, w.Namespace, f.Name, since(before[f.Name], f)))
		if err != nil {
			return fmt.Errorf("emf: %w", err)
		}
		if _, err := w.Out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("emf: %w", err)
		}
	}
	return nil
}

// functionDimension names the dimension of all metrics.
const functionDimension = "Function"

// document is a line in CloudWatch's embedded metric format.
func document(at time.Time, namespace, function string, metrics []metric) map[string]any {
	type definition struct {
		Name string
		Unit string
	}
	definitions := make([]definition, 0, len(metrics))
	out := map[string]any{functionDimension: function}
	for _, m := range metrics {
		definitions = append(definitions, definition{m.name, m.unit})
		out[m.name] = m.value
	}
	out["_aws"] = map[string]any{
		"Timestamp": at.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": namespace, "Dimensions": [][]string{{functionDimension}}, "Metrics": definitions,
		}},
	}
	return out
}
