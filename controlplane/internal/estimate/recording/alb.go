package recording

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Fields of a line of an Application Load Balancer's access log, as AWS documents them in "Access log entries".
const (
	fieldType     = 0
	fieldTime     = 1
	fieldWait     = 5 // request_processing_time
	fieldTarget   = 6 // target_processing_time; -1: no target answered
	fieldAnswer   = 7 // response_processing_time
	fieldReceived = 10
	fieldSent     = 11
	fieldCreated  = 21 // request_creation_time
	fewestFields  = 22
)

// mostLine bounds a line.
const mostLine = 1 << 20

// An ALB collects what access logs say. The zero value has read nothing.
type ALB struct {
	sample   sample
	counts   counts
	served   int
	unserved int
	seconds  float64
	in, out  float64
	from, to time.Time
}

// Read reads one file, gzipped or not. The name is for errors.
func (a *ALB) Read(name string, r io.Reader) error {
	file, err := open(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), mostLine)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := a.line(lines.Text()); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, cmp.Or(file.failed, err))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return nil
}

func (a *ALB) line(text string) error {
	fields, err := split(text)
	if err != nil {
		return err
	}
	if len(fields) < fewestFields {
		return fmt.Errorf("%d fields, an entry of an Application Load Balancer's access log has %d or more", len(fields), fewestFields)
	}
	entry, err := parse(fields)
	if err != nil {
		return err
	}
	if !entry.served {
		a.unserved++
		return nil
	}
	return a.add(entry)
}

func (a *ALB) add(e entry) error {
	if a.from.IsZero() || e.at.Before(a.from) {
		a.from = e.at
	}
	if e.at.After(a.to) {
		a.to = e.at
	}
	if err := checkSpan(a.from, a.to); err != nil {
		return err
	}
	a.served++
	a.seconds += e.service.Seconds()
	a.in += e.received
	a.out += e.sent
	a.counts.add(e.at)
	a.sample.add(e.at, e.service)
	return nil
}

// split splits a line at spaces, except within quotes. A backslash escapes a quote.
func split(text string) ([]string, error) {
	var fields []string
	for at := 0; at < len(text); at++ {
		if text[at] == ' ' {
			continue
		}
		end := at
		if text[at] == '"' {
			for end++; end < len(text) && text[end] != '"'; end++ {
				if text[end] == '\\' {
					end++
				}
			}
			if end >= len(text) {
				return nil, fmt.Errorf("column %d: a quote is not closed", at+1)
			}
			fields = append(fields, text[at+1:end])
			at = end
			continue
		}
		for end < len(text) && text[end] != ' ' {
			end++
		}
		fields = append(fields, text[at:end])
		at = end
	}
	return fields, nil
}

// An entry is what counts of a line.
type entry struct {
	at             time.Time
	service        time.Duration
	received, sent float64
	served         bool
}

func parse(fields []string) (e entry, err error) {
	created, err := moment("request_creation_time", fields[fieldCreated])
	if err != nil {
		return e, err
	}
	ended, err := moment("time", fields[fieldTime])
	if err != nil {
		return e, err
	}
	var wait, target, answer float64
	for _, f := range []struct {
		name  string
		field int
		to    *float64
		least float64
	}{
		{"request_processing_time", fieldWait, &wait, -1},
		{"target_processing_time", fieldTarget, &target, -1},
		{"response_processing_time", fieldAnswer, &answer, -1},
		{"received_bytes", fieldReceived, &e.received, 0},
		{"sent_bytes", fieldSent, &e.sent, 0},
	} {
		if *f.to, err = number(f.name, fields[f.field], f.least); err != nil {
			return e, err
		}
	}
	e.served = target >= 0
	e.at = created.Add(seconds(max(0, wait)))
	e.service = max(time.Millisecond, seconds(target+max(0, answer)))
	if fields[fieldType] == "ws" || fields[fieldType] == "wss" { // the target's time ends with the upgrade
		e.service = max(e.service, ended.Sub(e.at))
	}
	return e, nil
}

func seconds(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }

func moment(name, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Year() < 2010 || at.Year() > 2200 {
		return at, fmt.Errorf("%s: %q is not a time such as 2026-11-29T12:00:00.123456Z", name, text)
	}
	return at, nil
}

func number(name, text string, least float64) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= least && v <= 1e15) {
		return 0, fmt.Errorf("%s: %q is not a number from %v on", name, text, least)
	}
	if name[len(name)-4:] == "time" && v > 86_400 {
		return 0, fmt.Errorf("%s: %q is more than a day", name, text)
	}
	return v, nil
}

// Recording returns what all files say together.
func (a *ALB) Recording() (Recording, error) {
	if a.served == 0 {
		return Recording{}, errNone
	}
	if a.to.Sub(a.from) < shortest {
		return Recording{}, fmt.Errorf("it spans %s: at least %s says what a month may be like", a.to.Sub(a.from).Round(time.Millisecond), shortest)
	}
	n := float64(a.served)
	r := Recording{
		Requests: a.served, Latency: seconds(a.seconds / n), RequestBytes: a.in / n, ResponseBytes: a.out / n,
		Notes: short(a.to.Sub(a.from)),
	}
	r.Traffic.Profile = a.counts.profile(a.from, a.to)
	r.Traffic.Arrivals = a.sample.arrivals(a.from)
	if a.unserved > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d requests that no target served are left out.", a.unserved))
	}
	if part := float64(len(r.Traffic.Arrivals)) / n; part < 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("%.2g %% of the recorded requests are replayed, in whole half minutes chosen at random.", 100*part))
	}
	return r, nil
}
