package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// messageLines bounds what is shown of a failure.
const messageLines = 12

// An event is one line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// A flake is a test that failed first and passed later.
type flake struct {
	Package, Test string
	Message       []string // of the first failure
}

// A history is what is known of one test.
type history struct {
	flake
	output []string // of the try that goes on, until one has failed
	failed bool
	passed bool // after it had failed
}

// flakes returns the tests that failed and passed later, in the order of their first lines. A test whose subtest is among
// them is left out: it failed for no other reason.
func flakes(in io.Reader) ([]flake, error) {
	var order []*history
	known := map[[2]string]*history{}
	for decoder := json.NewDecoder(in); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return passedLater(order), nil
		} else if err != nil {
			return nil, fmt.Errorf("not the output of go test -json: %w", err)
		}
		if e.Test == "" {
			continue
		}
		key := [2]string{e.Package, e.Test}
		if known[key] == nil {
			known[key] = &history{flake: flake{Package: e.Package, Test: e.Test}}
			order = append(order, known[key])
		}
		known[key].add(e)
	}
}

func (h *history) add(e event) {
	switch e.Action {
	case "output":
		if !h.failed {
			h.output = append(h.output, strings.TrimRight(e.Output, "\n"))
		}
	case "fail":
		if !h.failed {
			h.failed, h.Message, h.output = true, message(h.output), nil
		}
		h.passed = false
	case "pass":
		h.passed, h.output = h.failed, nil
	}
}

func passedLater(all []*history) []flake {
	var found []flake
	for _, h := range all {
		if h.passed {
			found = append(found, h.flake)
		}
	}
	return slices.DeleteFunc(found, func(f flake) bool {
		return slices.ContainsFunc(found, func(sub flake) bool {
			return sub.Package == f.Package && strings.HasPrefix(sub.Test, f.Test+"/")
		})
	})
}

// location is the beginning of what t.Error and its like print; a panic and a race report begin otherwise.
var (
	location = regexp.MustCompile(`^\s+\w+\.go:\d+:|^panic:|DATA RACE`)
	frame    = regexp.MustCompile(`^\s*(=== |--- )`)
)

// message is what a reader needs of a failed test's output: from the first error on, without go test's own lines.
func message(output []string) []string {
	output = slices.DeleteFunc(output, func(line string) bool { return frame.MatchString(line) || strings.TrimSpace(line) == "" })
	if i := slices.IndexFunc(output, location.MatchString); i > 0 {
		output = output[i:]
	}
	return output[:min(len(output), messageLines)]
}
