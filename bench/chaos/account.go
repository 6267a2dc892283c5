package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// An end is how a request ended, by what its client got and by what the app wrote down.
type end string

// Ends.
const (
	answered end = "answered" // by the app, whole; it ran once
	refused  end = "refused"  // with a cause, by which it is safe to send it again; the app never saw it
	cut      end = "cut"      // the app began, and the client did not get its answer
	lost     end = "lost"     // with a cause that says that it may have run; the app never saw it
	unknown  end = "unknown"  // neither an answer nor a cause, and the app never saw it
	twice    end = "twice"    // the app began more than once
	wrong    end = "wrong"    // answered, and not by what the request asked for; or answered and never run
)

// detection is how long after a fault its consequences may reach a request.
const detection = 3 * time.Second

// causeLost is that of a request that was sent to an instance whose tunnel then ended.
const causeLost = "instance_lost"

// endOf judges a request that the app began so many times.
func endOf(r request, began int) end {
	switch {
	case began > 1:
		return twice
	case r.failure == "wrong answer" || r.answered && began == 0:
		return wrong
	case r.answered:
		return answered
	case began == 1:
		return cut
	case r.cause == causeLost:
		return lost
	case r.cause != "":
		return refused
	default:
		return unknown
	}
}

// late is no end. It is an answer that came more than a second after the app's work.
const (
	late  end = "late"
	tardy     = time.Second
)

// blame returns the latest fault that may explain the request's end. Such a fault can have that effect, and while the request was on its way
// it lasted, or had ended less than detection before.
func blame(r request, what end, strikes []strike) (name string, found bool) {
	for n := len(strikes) - 1; n >= 0; n-- {
		s := strikes[n]
		if !slices.Contains(s.spares, what) && !r.over.Before(s.began) && !r.sent.After(s.end.Add(detection)) {
			return s.name, true
		}
	}
	return "", false
}

// account fills in the counts.
func (r *report) account(requests []request, strikes []strike, runs map[string]int) {
	r.Ends, r.Causes, r.Failures = map[end]int{}, map[string]int{}, map[string]int{}
	byFault := map[string]*consequences{}
	for _, f := range r.Settings.faults() {
		c := &consequences{Fault: f, Ends: map[end]int{}}
		byFault[f] = c
		r.Faults = append(r.Faults, c)
	}
	for _, s := range strikes {
		byFault[s.name].Strikes++
	}
	for _, q := range requests {
		e := endOf(q, runs[q.id])
		r.Ends[e]++
		if e == answered {
			if q.late() < tardy {
				continue
			}
			e = late
		}
		r.explain(q, e)
		switch name, found := blame(q, e, strikes); {
		case found:
			byFault[name].add(q, e)
		case e == late:
			r.Late++
		case e != twice && e != wrong: // which no fault explains
			r.Unexplained++
			r.example(q, e)
		}
	}
}

func (c *consequences) add(q request, e end) {
	c.Ends[e]++
	if e == late {
		c.Longest = max(c.Longest, q.late())
	}
}

// maxExamples is how many requests that no fault explains are told of one by one.
const maxExamples = 50

func (r *report) example(q request, e end) {
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf("%s %s to %s: %s %s%s", q.id, q.sent.Format(clock), q.over.Format(clock), e, q.cause, q.failure))
	}
}

// clock is how times of day are shown.
const clock = "15:04:05.000"

func (r *report) explain(q request, e end) {
	switch {
	case q.cause != "":
		r.Causes[fmt.Sprintf("%s: %s", e, q.cause)]++
	case q.failure != "":
		r.Failures[fmt.Sprintf("%s: %s", e, q.failure)]++
	}
}

// readJournal counts how often the app began each request.
func readJournal(path string) (map[string]int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer file.Close()
	began := map[string]int{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if id, is := strings.CutPrefix(lines.Text(), "start "); is {
			began[id]++
		}
	}
	return began, lines.Err()
}
