package workload

import (
	"embed"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// traces are public data; each file states its source and licence.
//
//go:embed traces
var traces embed.FS

// Traces lists the names of the traces that Embedded knows.
var Traces = []string{"azllm_code", "azllm_conv"}

// Embedded returns a trace that comes with the program.
func Embedded(name string) (Workload, error) {
	f, err := traces.Open("traces/" + name + ".csv")
	if err != nil {
		return Workload{}, fmt.Errorf("trace %q: unknown, there are %s", name, strings.Join(Traces, ", "))
	}
	defer f.Close()
	return Read(name, f)
}

// Service times of language model requests whose tokens are known.
const (
	llmBase       = 150 * time.Millisecond
	llmPerToken   = 20 * time.Millisecond
	llmPerContext = 50 * time.Microsecond
)

// Columns that Read knows. One of the first three is needed.
const (
	colMillis    = "at_ms"         // milliseconds since the beginning
	colSeconds   = "at"            // seconds since the beginning
	colTimestamp = "TIMESTAMP"     // date and time
	colService   = "service_ms"    // service time; without it one second, or what the tokens say:
	colContext   = "ContextTokens" // also context_tokens
	colGenerated = "GeneratedTokens"
)

// mostNumber is far beyond any time, and far below what a time.Duration overflows at.
const mostNumber = 1e8

// Read reads CSV with a header: a time of arrival per line, and optionally a service time, as the columns say. Lines that
// begin with # are comments.
func Read(name string, r io.Reader) (Workload, error) {
	lines := csv.NewReader(r)
	lines.Comment = '#'
	lines.TrimLeadingSpace = true
	header, err := lines.Read()
	if err != nil {
		return Workload{}, fmt.Errorf("trace %s: header: %w", name, err)
	}
	columns, err := columnsOf(header)
	if err != nil {
		return Workload{}, fmt.Errorf("trace %s: header: %w", name, err)
	}
	w := Workload{Name: name}
	for {
		fields, err := lines.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Workload{}, fmt.Errorf("trace %s: %w", name, err)
		}
		request, err := columns.parse(fields)
		if err != nil {
			line, _ := lines.FieldPos(0)
			return Workload{}, fmt.Errorf("trace %s: line %d: %w", name, line, err)
		}
		w.Requests = append(w.Requests, request)
	}
	return w.fromZero().finish(), nil
}

// fromZero lets the first request arrive at 0.
func (w Workload) fromZero() Workload {
	if len(w.Requests) == 0 {
		return w
	}
	first := w.Requests[0].At
	for _, r := range w.Requests {
		first = min(first, r.At)
	}
	shifted(w.Requests, -first)
	return w
}

// columns finds fields by name.
type columns map[string]int

func columnsOf(header []string) (columns, error) {
	c := columns{}
	for k, name := range header {
		switch name {
		case "context_tokens":
			name = colContext
		case "generated_tokens":
			name = colGenerated
		}
		c[strings.TrimSpace(name)] = k
	}
	for _, name := range []string{colMillis, colSeconds, colTimestamp} {
		if _, ok := c[name]; ok {
			return c, nil
		}
	}
	return nil, fmt.Errorf("no column %s, %s or %s", colMillis, colSeconds, colTimestamp)
}

func (c columns) parse(fields []string) (Request, error) {
	at, err := c.arrival(fields)
	if err != nil {
		return Request{}, err
	}
	service, err := c.service(fields)
	if err == nil && service < 0 {
		err = fmt.Errorf("the service time is negative")
	}
	return Request{at, service}, err
}

func (c columns) arrival(fields []string) (time.Duration, error) {
	if k, ok := c[colTimestamp]; ok {
		at, err := time.Parse("2006-01-02 15:04:05.9999999", fields[k])
		if err == nil && (at.Year() < 1970 || at.Year() > 2200) {
			err = fmt.Errorf("%s: the year %d is out of range", colTimestamp, at.Year())
		}
		return at.Sub(time.Unix(0, 0)), err
	}
	if v, ok, err := c.number(fields, colMillis); ok {
		return seconds(v / 1000), err
	}
	v, _, err := c.number(fields, colSeconds)
	return seconds(v), err
}

func (c columns) service(fields []string) (time.Duration, error) {
	if v, ok, err := c.number(fields, colService); ok {
		return seconds(v / 1000), err
	}
	generated, ok, err := c.number(fields, colGenerated)
	if !ok || err != nil {
		return time.Second, err
	}
	context, _, err := c.number(fields, colContext)
	return llmBase + time.Duration(generated*float64(llmPerToken)) + time.Duration(context*float64(llmPerContext)), err
}

func (c columns) number(fields []string, column string) (v float64, ok bool, err error) {
	k, ok := c[column]
	if !ok {
		return 0, false, nil
	}
	v, err = strconv.ParseFloat(fields[k], 64)
	if err == nil && !(math.Abs(v) <= mostNumber) {
		err = fmt.Errorf("%s: %v is out of range", column, v)
	}
	return v, true, err
}
