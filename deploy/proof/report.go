package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// An answer is the result of a probe.
type answer struct {
	probe
	saw string
	as  bool
	err error
}

func (a answer) verdict() string {
	switch {
	case a.err != nil:
		return "not answered"
	case a.as:
		return "as assumed"
	default:
		return "**otherwise**"
	}
}

// A report is a run of the probes.
type report struct {
	where   string // a region, or this machine
	when    time.Time
	answers []answer
}

// write writes the page. Its first line says where and when, which is what the tables of lambdalocal repeat.
func (r report) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Seen in %s, %s\n\nWritten by `make aws-proof`. What each line is about: [proof](README.md).\n\n", r.where, r.when.UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "| id | assumed | seen | |\n|---|---|---|---|\n")
	for _, a := range r.answers {
		saw := a.saw
		if a.err != nil {
			saw = a.err.Error()
		}
		saw = strings.NewReplacer("|", "/", "\n", " ").Replace(saw)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", a.id, a.assumed, saw, a.verdict())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// failed counts the probes that found no answer.
func (r report) failed() (n int) {
	for _, a := range r.answers {
		if a.err != nil {
			n++
		}
	}
	return n
}
