package workload

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
	colStream    = "stream" // whether the request says that it is one
)

// Numbers may be as large as these. Arrivals may be Unix times; two of them are less far apart than a time.Duration overflows at.
const (
	mostSeconds = 4e9
	mostNumber  = 1e8
)

// Read reads CSV with a header: a time of arrival per line, and optionally a service time and whether it is a stream, as the columns say. Lines that
// begin with # are comments. An error names line, column and value; the file's name is the caller's to add.
func Read(name string, r io.Reader) (Workload, error) {
	text := bufio.NewReader(r)
	if mark, err := text.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		_, _ = text.Discard(len(mark))
	}
	lines := csv.NewReader(text)
	lines.Comment = '#'
	lines.TrimLeadingSpace = true
	header, err := lines.Read()
	if err == io.EOF {
		return Workload{}, errors.New("empty: the first line must name the columns")
	}
	if err != nil {
		return Workload{}, fmt.Errorf("header: %w", err)
	}
	columns, err := columnsOf(header)
	if err != nil {
		return Workload{}, fmt.Errorf("header: %w", err)
	}
	w := Workload{Name: name}
	for {
		fields, err := lines.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Workload{}, err // names the line
		}
		request, err := columns.parse(fields)
		if err != nil {
			line, _ := lines.FieldPos(0)
			return Workload{}, fmt.Errorf("line %d, %w", line, err)
		}
		w.Requests = append(w.Requests, request)
	}
	return w.fromZero().finish(), nil
}

// byteOrderMark is what spreadsheets write before CSV.
const byteOrderMark = "\ufeff"

// fromZero shifts the arrivals so that the first one is at 0.
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

// columns holds the index of each field by its name.
type columns map[string]int

func columnsOf(header []string) (columns, error) {
	c := columns{}
	other := false
	for k, name := range header {
		name = strings.TrimSpace(name)
		switch name {
		case "context_tokens":
			name = colContext
		case "generated_tokens":
			name = colGenerated
		case colMillis, colSeconds, colTimestamp, colService, colContext, colGenerated, colStream:
		default:
			other = true
			continue
		}
		if _, twice := c[name]; twice {
			return nil, fmt.Errorf("two columns %s", name)
		}
		c[name] = k
	}
	switch {
	case !c.have(colMillis, colSeconds, colTimestamp):
		return nil, fmt.Errorf("no column %s, %s or %s among %q", colMillis, colSeconds, colTimestamp, header)
	case other && !c.have(colService, colGenerated): // it may be meant to be one of these
		return nil, fmt.Errorf("no column %s or %s among %q", colService, colGenerated, header)
	}
	return c, nil
}

// have reports whether there is a column of one of the names.
func (c columns) have(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, ok := c[name]; return ok })
}

func (c columns) parse(fields []string) (Request, error) {
	at, err := c.arrival(fields)
	if err != nil {
		return Request{}, err
	}
	service, err := c.service(fields)
	if err != nil {
		return Request{}, err
	}
	stream, err := c.stream(fields)
	return Request{At: at, Service: service, Stream: stream}, err
}

func (c columns) stream(fields []string) (bool, error) {
	k, ok := c[colStream]
	if !ok || strings.TrimSpace(fields[k]) == "" {
		return false, nil
	}
	stream, err := strconv.ParseBool(strings.TrimSpace(fields[k]))
	if err != nil {
		return false, bad(colStream, fields[k], "is neither true nor false")
	}
	return stream, nil
}

// bad returns the error of a cell with a mistake.
func bad(column, text, why string) error { return fmt.Errorf("%s: %q %s", column, text, why) }

func (c columns) arrival(fields []string) (time.Duration, error) {
	if k, ok := c[colTimestamp]; ok {
		return timestamp(fields[k])
	}
	if v, ok, err := c.number(fields, colMillis, 1000*mostSeconds); ok {
		return seconds(v / 1000), err
	}
	v, _, err := c.number(fields, colSeconds, mostSeconds)
	return seconds(v), err
}

// layouts of date and time, which may be followed by fractions of a second. Without a zone it is UTC.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339, "2006-01-02T15:04:05"}

func timestamp(text string) (time.Duration, error) {
	var at time.Time
	err := errors.New("no layout")
	for k := 0; k < len(layouts) && err != nil; k++ {
		at, err = time.Parse(layouts[k], strings.TrimSpace(text))
	}
	if err != nil {
		return 0, bad(colTimestamp, text, "is not a date and time such as 2023-11-16 18:17:03.9799600")
	}
	if at.Year() < 1970 || at.Year() > 2200 {
		return 0, bad(colTimestamp, text, "is not between the years 1970 and 2200")
	}
	return at.Sub(time.Unix(0, 0)), nil
}

func (c columns) service(fields []string) (time.Duration, error) {
	if v, ok, err := c.positive(fields, colService); ok {
		return seconds(v / 1000), err
	}
	generated, ok, err := c.positive(fields, colGenerated)
	if !ok || err != nil {
		return time.Second, err
	}
	context, _, err := c.positive(fields, colContext)
	return llmBase + time.Duration(generated*float64(llmPerToken)) + time.Duration(context*float64(llmPerContext)), err
}

// positive reads a number that must not be negative. It is 0 where the column is missing.
func (c columns) positive(fields []string, column string) (v float64, ok bool, err error) {
	v, ok, err = c.number(fields, column, mostNumber)
	if err == nil && v < 0 {
		err = bad(column, fields[c[column]], "is negative")
	}
	return v, ok, err
}

func (c columns) number(fields []string, column string, most float64) (v float64, ok bool, err error) {
	k, ok := c[column]
	if !ok {
		return 0, false, nil
	}
	v, err = strconv.ParseFloat(strings.TrimSpace(fields[k]), 64)
	switch {
	case math.IsNaN(v) || err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, true, bad(column, fields[k], "is not a number")
	case math.Abs(v) > most:
		return 0, true, bad(column, fields[k], "is out of range")
	}
	return v, true, nil
}
