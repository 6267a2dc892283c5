package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

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
	Unexplained int             `json:"unexplained"`        // without an answer, and no fault was near that can do that
	Examples    []string        `json:"examples,omitempty"` // of them
	Late        int             `json:"late"`               // answered more than a second late, and no fault was near
}

// Consequences are the requests without an answer, or with a late one, that a kind of fault may have struck.
type consequences struct {
	Fault   string        `json:"fault"`
	Strikes int           `json:"strikes"`
	Ends    map[end]int   `json:"ends"`
	Longest time.Duration `json:"longest_ns"` // how late the latest answer was
}

var ends = []end{answered, refused, lost, cut, unknown, twice, wrong}

func (r *report) markdown(data string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Chaos\n\n%s Seed %d.\n\n", r.Origin, r.Settings.Seed)
	fmt.Fprintf(&b, "%s Data: [%s](%s).\n\n", r.Settings, data, data)
	r.tables(&b)
	return b.String()
}

// putInto replaces the part of a file between two comments with what was measured. An empty path does nothing.
func (r *report) putInto(path string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+r.Settings.name()+" -->\n", "<!-- end of "+r.Settings.name()+" -->"
	before, rest, began := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !began || !ended {
		return fmt.Errorf("%s: has no %q with %q after it", path, strings.TrimSpace(begin), end)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s%s Seed %d.\n\n%s\n\n", before, begin, r.Origin, r.Settings.Seed, r.Settings)
	r.tables(&b)
	return os.WriteFile(path, []byte(b.String()+"\n"+end+after), 0o644)
}

func (r *report) tables(b *strings.Builder) {
	b.WriteString("| requests |" + join(ends, func(e end) string { return " " + string(e) + " |" }) + "\n")
	b.WriteString("|---|" + strings.Repeat("---|", len(ends)) + "\n")
	fmt.Fprintf(b, "| %d |%s\n\n", r.Settings.Requests, join(ends, func(e end) string { return fmt.Sprintf(" %d |", r.Ends[e]) }))
	b.WriteString("Requests without an answer, and those answered more than a second late, by the latest fault that was near and can do that:\n\n" +
		"| fault | times | refused | lost | cut | unknown | late | latest by |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range r.Faults {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d | %d | %.1f s |\n", c.Fault, c.Strikes, c.Ends[refused], c.Ends[lost], c.Ends[cut], c.Ends[unknown], c.Ends[late], c.Longest.Seconds())
	}
	fmt.Fprintf(b, "| none was near | | %d in all | | | | %d | |\n\n", r.Unexplained, r.Late)
	b.WriteString("What their clients were told:\n\n| end and cause | requests |\n|---|---|\n")
	for _, counts := range []map[string]int{r.Causes, r.Failures} {
		for _, what := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(b, "| %s | %d |\n", what, counts[what])
		}
	}
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
	if r.Settings.Leader && r.Ends[refused] > r.Settings.Requests/1000 {
		wrongs = append(wrongs, fmt.Errorf("%d requests were refused, more than one of a thousand", r.Ends[refused]))
	}
	return errors.Join(wrongs...)
}
