package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

// A report is everything that one run saw.
type report struct {
	*lab.Origin
	Settings    settings        `json:"settings"`
	Ends        map[end]int     `json:"ends"`
	Causes      map[string]int  `json:"causes"`   // of the requests without an answer, by end and cause
	Failures    map[string]int  `json:"failures"` // by end and what the client saw
	Faults      []*consequences `json:"faults"`
	Unexplained int             `json:"unexplained"` // without an answer, and no fault was near
}

// Consequences are the requests without an answer that a kind of fault may have struck.
type consequences struct {
	Fault   string      `json:"fault"`
	Strikes int         `json:"strikes"`
	Ends    map[end]int `json:"ends"`
}

var ends = []end{answered, refused, cut, unknown, twice, wrong}

func (r *report) markdown(data string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Chaos\n\n%s Seed %d.\n\n", r.Origin, r.Settings.Seed)
	fmt.Fprintf(&b, "%d requests, %.0f a second at random times, of 5 to 500 ms each, two of five with a body of up to 64 KiB. "+
		"The time between two faults is %v. Data: [%s](%s).\n\n", r.Settings.Requests, r.Settings.Rate, r.Settings.Every, data, data)
	b.WriteString("| requests |" + join(ends, func(e end) string { return " " + string(e) + " |" }) + "\n")
	b.WriteString("|---|" + strings.Repeat("---|", len(ends)) + "\n")
	fmt.Fprintf(&b, "| %d |%s\n\n", r.Settings.Requests, join(ends, func(e end) string { return fmt.Sprintf(" %d |", r.Ends[e]) }))
	b.WriteString("Requests without an answer, by the latest fault that was near:\n\n| fault | times | refused | cut | unknown |\n|---|---|---|---|---|\n")
	for _, c := range r.Faults {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", c.Fault, c.Strikes, c.Ends[refused], c.Ends[cut], c.Ends[unknown])
	}
	fmt.Fprintf(&b, "| none was near | | %d in all | | |\n\n", r.Unexplained)
	b.WriteString("What their clients were told:\n\n| end and cause | requests |\n|---|---|\n")
	for _, counts := range []map[string]int{r.Causes, r.Failures} {
		for _, what := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "| %s | %d |\n", what, counts[what])
		}
	}
	return b.String()
}

func join(list []end, text func(end) string) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(text(e))
	}
	return b.String()
}

// verdict is what must hold whatever was struck.
func (r *report) verdict() error {
	var wrongs []error
	for _, e := range []end{twice, wrong} {
		if n := r.Ends[e]; n > 0 {
			wrongs = append(wrongs, fmt.Errorf("%d requests ended %s", n, e))
		}
	}
	if r.Unexplained > 0 {
		wrongs = append(wrongs, fmt.Errorf("%d requests got no answer though no fault was near", r.Unexplained))
	}
	return errors.Join(wrongs...)
}
