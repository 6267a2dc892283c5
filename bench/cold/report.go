package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

// A report is everything that one run saw. Durations are nanoseconds.
type report struct {
	*lab.Origin
	Settings settings `json:"settings"`
	MemoryMB int      `json:"memory_mb"`
	Apps     []tried  `json:"apps"`
}

// tried is an app. Missing says why it has no phases.
type tried struct {
	Name    string     `json:"name"`
	About   string     `json:"about"`
	Missing string     `json:"missing,omitempty"`
	Phases  []measured `json:"phases"`
}

// measured is a phase.
type measured struct {
	Name       string `json:"name"`
	About      string `json:"about"`
	Plain      seen   `json:"plain"` // one request per environment
	Dispatched seen   `json:"dispatched"`
}

// seen is what clients saw of one way, and what it cost.
type seen struct {
	Requests     int      `json:"requests"`     // sent
	Environments int      `json:"environments"` // each of them a cold start
	Dollars      float64  `json:"dollars"`
	Answers      []answer `json:"answers"` // those that count
}

// An answer came Took after its request was due, which was At after those that count began. Both are in whole milliseconds.
type answer struct {
	At, Took time.Duration
	By       string // environment
}

// MarshalText is seconds, seconds and the environment: there are many.
func (a answer) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f %.3f %s", a.At.Seconds(), a.Took.Seconds(), a.By), nil
}

// UnmarshalText reads what MarshalText wrote.
func (a *answer) UnmarshalText(text []byte) error {
	fields := strings.SplitN(string(text), " ", 3)
	if len(fields) < 3 {
		return fmt.Errorf("answer %q: must be seconds, seconds and an environment", text)
	}
	var errs [2]error
	a.At, errs[0] = time.ParseDuration(fields[0] + "s")
	a.Took, errs[1] = time.ParseDuration(fields[1] + "s")
	a.By = fields[2]
	return errors.Join(errs[:]...)
}

// tooLong is when a person has given up on a page.
const tooLong = 4 * time.Second

// late is how many answers took too long.
func (s seen) late() (n int) {
	for _, a := range s.Answers {
		if a.Took > tooLong {
			n++
		}
	}
	return n
}

func (s seen) quantile(q float64) time.Duration {
	took := make([]time.Duration, len(s.Answers))
	for n, a := range s.Answers {
		took[n] = a.Took
	}
	slices.Sort(took)
	return arrivals.Quantile(took, q)
}

// served is how many requests each environment answered, most first.
func (s seen) served() []int {
	by := map[string]int{}
	for _, a := range s.Answers {
		by[a.By]++
	}
	var counts []int
	for _, n := range by {
		counts = append(counts, n)
	}
	slices.SortFunc(counts, func(a, b int) int { return cmp.Compare(b, a) })
	return counts
}
