package dev

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// maxLine bounds a line of a log, in bytes: what is longer is dropped.
const maxLine = 1 << 20

// A log calls a function for each object in a log of JSON objects, one a line. Other lines are dropped.
type log struct {
	read func(entry map[string]any)
	rest []byte
}

func newLog(read func(map[string]any)) *log { return &log{read: read} }

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			break
		}
		l.rest = rest
		entry := map[string]any{}
		if json.Unmarshal(line, &entry) == nil {
			l.read(entry)
		}
	}
	if len(l.rest) > maxLine {
		l.rest = nil
	}
	return len(p), nil
}

func text(entry map[string]any, key string) string {
	value, _ := entry[key].(string)
	return value
}

// fromLambdalocal prints what the app prints, with the number of its environment. What an environment fails of is told when the
// control plane has judged it.
func (s *session) fromLambdalocal(entry map[string]any) {
	switch text(entry, "source") {
	case filepath.Base(s.Command[0]):
		s.say.app(text(entry, "environment"), text(entry, "msg"))
		return
	case "lambdapeer":
		s.say.line("lambdapeer: %s", text(entry, "msg"))
		return
	}
	s.crashes.begun(entry)
	s.logged("lambdalocal", entry, "environment")
}

// flags has the names that whoever runs dev has written in place of the keys that dev makes of them.
var flags = strings.NewReplacer(
	"functions[0].scaling.concurrency:", "--concurrency:", "functions[0].scaling.min:", "--min:", "functions[0].scaling.max:", "--max:",
	"functions[0].lambda.memory_mb:", "--memory:",
)

// fromControlPlane prints what does not concern the function: that is told in words of its own.
func (s *session) fromControlPlane(entry map[string]any) {
	if environment, crashed := s.crashes.see(entry); crashed {
		s.sayCrash(environment, entry)
	}
	entry["msg"] = flags.Replace(text(entry, "msg"))
	s.logged("control plane", entry, "function")
}

// logged prints a warning or an error of a part, unless it has a key that others tell of; and everything on request.
func (s *session) logged(part string, entry map[string]any, but string) {
	level, elsewhere := text(entry, "level"), text(entry, but) != ""
	if !s.Verbose && (elsewhere || level != "warning" && level != "error") {
		return
	}
	var more []string
	for key, value := range entry {
		if !slices.Contains([]string{"level", "msg", "time", "component"}, key) {
			more = append(more, fmt.Sprintf("%s=%v", key, value))
		}
	}
	slices.Sort(more)
	s.say.line("%s: %s %s", part, text(entry, "msg"), strings.Join(more, " "))
}

// maxEnvironments bounds the environments whose numbers are remembered.
const maxEnvironments = 10_000

// A printer writes lines from many goroutines, each whole.
type printer struct {
	mu      sync.Mutex // guards everything below
	out     io.Writer
	numbers map[string]int // of environments, in the order in which they first spoke
}

// readers are who reads what is written, and what is called when they have gone.
type readers struct {
	io.Writer
	gone func()
}

func (r readers) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if err != nil {
		r.gone()
	}
	return n, err
}

// line prints what dev has to say.
func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "dev | "+format+"\n", args...)
}

// block prints lines as they are.
func (p *printer) block(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprint(p.out, text)
}

// app prints a line of an environment's app.
func (p *printer) app(environment, line string) {
	number := p.number(environment)
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "app %d | %s\n", number, line)
}

// number is that of an environment, which it keeps.
func (p *printer) number(environment string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.numbers == nil || len(p.numbers) >= maxEnvironments {
		p.numbers = map[string]int{}
	}
	number, known := p.numbers[environment]
	if !known {
		number = len(p.numbers) + 1
		p.numbers[environment] = number
	}
	return number
}
