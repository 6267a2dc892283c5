package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

func (s shown) names() (names []string) {
	for _, f := range s.Functions {
		names = append(names, f.Name)
	}
	return names
}

// of keeps what concerns one function.
func (s shown) of(name string) (of shown) {
	for _, f := range s.Functions {
		if f.Name == name {
			of.Functions = append(of.Functions, f)
		}
	}
	of.Instances = []operator.Instance{}
	for _, i := range s.Instances {
		if i.Function == name {
			of.Instances = append(of.Instances, i)
		}
	}
	return of
}

// print writes a table of functions, what is amiss with each, and a table of instances if that is asked for.
func (s shown) print(w io.Writer, instances bool) error {
	if len(s.Functions) == 0 {
		_, err := fmt.Fprintln(w, "no functions are configured")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "FUNCTION\tREADY\tSTARTING\tDRAINING\tFROZEN\tBUSY\tSLOTS\tQUEUED\tSERVED\tREFUSED\t$/HOUR\tVERSIONS")
	for _, f := range s.Functions {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.4f\t%s\n", f.Name, f.Ready, f.Starting, f.Draining+f.Down,
			f.Frozen, f.InFlight, f.Capacity, f.QueueDepth, served(f), refused(f), f.Bill.DollarsPerHour, versions(f))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, f := range s.Functions {
		printNotes(w, f)
	}
	if instances && len(s.Instances) > 0 {
		return s.printInstances(w)
	}
	return nil
}

func served(f operator.Function) (n uint64) {
	for _, r := range f.Requests {
		if r.Outcome == "dispatched" {
			n += r.Count
		}
	}
	return n
}

// refused counts the requests that got an error instead of a slot.
func refused(f operator.Function) (n uint64) {
	for _, r := range f.Requests {
		n += r.Count
	}
	return n - served(f)
}

// versions names the version of the ready instances; with several, how many each has.
func versions(f operator.Function) (text string) {
	names := make([]string, 0, len(f.Versions))
	for name := range f.Versions {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	for _, name := range names {
		if text != "" {
			text += ", "
		}
		text += name
		if len(names) > 1 {
			text += fmt.Sprintf(" (%d)", f.Versions[name])
		}
	}
	return cmp.Or(text, "-")
}

// printNotes writes a line for each thing that an operator should know of a function.
func printNotes(w io.Writer, f operator.Function) {
	note := func(format string, args ...any) {
		fmt.Fprintf(w, "%s: "+format+"\n", append([]any{f.Name}, args...)...)
	}
	if f.Disabled {
		note("disabled")
	}
	if f.BlockedDetail != "" {
		note("%s", f.BlockedDetail)
	}
	if r := f.Rollout; r != nil {
		note("%s", rolloutLine(*r))
	}
	for _, warning := range f.Warnings {
		note("%s", warning.Detail)
	}
}

func rolloutLine(r operator.Rollout) string {
	if r.From == r.To {
		return replacementLine(r)
	}
	text := fmt.Sprintf("rollout from %s to %s: %s", r.From, r.To, r.Phase)
	if r.EndedAt == nil {
		text += fmt.Sprintf(", %.0f %% of the capacity, %d of %d instances new", 100*r.Share, r.Fresh, r.Want)
	}
	if r.Cause != "" {
		text += ", " + r.Cause
	}
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	return text
}

// replacementLine is of a rollout that brings no other version: somebody drains the function, or its instances are to be as configured.
func replacementLine(r operator.Rollout) string {
	switch {
	case r.EndedAt == nil:
		return fmt.Sprintf("draining, %d of %d replaced", r.Fresh, r.Want)
	case r.Cause == "":
		return fmt.Sprintf("all instances replaced %s ago", time.Since(*r.EndedAt).Round(time.Second))
	}
	return "draining was given up: " + cmp.Or(r.Detail, r.Cause)
}

// printInstances writes a table of instances, by the ids that the log and POST /api/v1/instances/ID/drain have.
func (s shown) printInstances(w io.Writer) error {
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "INSTANCE\tSTATE\tBUSY\tSLOTS\tAGE\tVERSION\tNOTE")
	for _, i := range s.Instances {
		age := time.Duration(i.AgeSeconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%v\t%s\t%s\n", i.ID, i.State, i.InFlight, i.Slots, age,
			cmp.Or(i.FunctionVersion, "-"), noteOf(i))
	}
	return table.Flush()
}

// noteOf says what an instance waits for, or why it drains.
func noteOf(i operator.Instance) string {
	if i.WaitsFor != "" {
		return "waits for " + i.WaitsFor
	}
	return i.DrainReason
}
