// Command chaos sends requests through everything, in processes of their own, while one part after the other is killed, cut
// off, flooded or replaced. The app writes down what it ran, so that each request can be told: answered, refused, cut, or
// run twice.
//
// With -leader the relay is apart, and leader, standby, relay and Envoy are struck every second.
//
// It runs in the project's root, after make build envoy. docs/reliability.md explains what it reports.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/command"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

func main() { command.Main("chaos", run) }

// settings are what a run does. The defaults take about seven minutes, with Leader two.
type settings struct {
	Leader   bool          `json:"leader,omitempty"`
	Requests int           `json:"requests"`
	Rate     float64       `json:"requests_per_second"`
	Every    time.Duration `json:"fault_every_ns"` // from the end of one fault to the next; with Leader from its beginning
	Seed     uint64        `json:"seed"`
	Workers  int           `json:"envoy_workers"`
	out      string
	docs     string
	keep     bool
	Only     *regexp.Regexp `json:"only,omitempty"` // matches the names of the faults that strike; nil: all do
}

// concurrency is how many slots an instance has.
func (s settings) concurrency() int {
	if s.Leader {
		return 4
	}
	return 10
}

// String says in whole sentences what is done.
func (s settings) String() string {
	if s.Leader {
		return fmt.Sprintf("%d requests, %.0f a second at random times: of 50 to 500 ms each, two of five with a body of up to 64 KiB, "+
			"and one of ten of 1 to 5 s, half of them WebSockets and half server-sent events. A fault strikes every %v.", s.Requests, s.Rate, s.Every)
	}
	return fmt.Sprintf("%d requests, %.0f a second at random times, of 5 to 500 ms each, two of five with a body of up to 64 KiB. "+
		"The time between two faults is %v.", s.Requests, s.Rate, s.Every)
}

// name is that of the page with the results, without .md.
func (s settings) name() string {
	if s.Leader {
		return "chaos-leader"
	}
	return "chaos"
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{Workers: 2}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&s.Leader, "leader", false, "strike leader, standby, relay and Envoy, each in a process of its own")
	flags.IntVar(&s.Requests, "requests", 0, "how many requests to send (default 100000, with -leader 18000)")
	flags.Float64Var(&s.Rate, "rate", 0, "requests a second, at random times (default 250, with -leader 150)")
	flags.DurationVar(&s.Every, "every", 0, "from the end of one fault to the next (default 5s), with -leader from its beginning (default 1s)")
	flags.Uint64Var(&s.Seed, "seed", uint64(time.Now().Unix()), "of the order of faults and of the requests")
	flags.StringVar(&s.out, "out", "bench/results", "folder of the results")
	flags.StringVar(&s.docs, "docs", "", "a Markdown file that gets the results too, in place of those that it has")
	flags.BoolVar(&s.keep, "keep", false, "leave configurations, logs, Envoy's access log and the app's journal behind, and say where")
	flags.Func("only", `strike only with faults whose names match an expression, such as "the leader|the lease"`, func(text string) (err error) {
		s.Only, err = regexp.Compile(text)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	normal := settings{Requests: 100_000, Rate: 250, Every: 5 * time.Second}
	if s.Leader {
		normal = settings{Requests: 18_000, Rate: 150, Every: time.Second}
	}
	s.Requests, s.Rate, s.Every = cmp.Or(s.Requests, normal.Requests), cmp.Or(s.Rate, normal.Rate), cmp.Or(s.Every, normal.Every)
	if s.Requests < 1 || s.Rate <= 0 || s.Every <= 0 {
		return s, errors.New("requests, rate and every must be positive")
	}
	if len(s.faults()) == 0 {
		return s, fmt.Errorf("no fault's name matches %q", s.Only)
	}
	return s, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, s.Workers)
	if err != nil {
		return err
	}
	defer l.Close()
	if s.keep {
		fmt.Fprintln(stdout, "everything is kept in", l.Keep())
	}
	r, err := measure(ctx, l, s, stdout)
	if err != nil {
		return err
	}
	name := r.Name(s.name())
	page := r.markdown(name)
	if err := errors.Join(lab.Save(s.out, name, r, s.name()+".md", page), r.putInto(s.docs)); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%s\nwritten to %s\n", page, filepath.Join(s.out, name))
	return r.verdict()
}

// measure runs the load and the faults beside it until the last request has ended.
func measure(ctx context.Context, l *lab.Lab, s settings, progress io.Writer) (*report, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	stack, err := start(running, l, s)
	if err != nil {
		return nil, err
	}
	origin, err := lab.Here()
	if err != nil {
		return nil, err
	}
	r := &report{Origin: origin, Settings: s}
	striking, calm := context.WithCancel(ctx)
	struck := make(chan []strike, 1)
	strike := stack.strikeAgain
	if s.Leader {
		strike = stack.strikeBeside
	}
	go func() { struck <- strike(striking, s, progress) }()
	requests := send(ctx, stack.url, s, progress)
	calm()
	strikes := <-struck
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	runs, err := readJournal(stack.journal)
	if err != nil {
		return nil, err
	}
	r.account(requests, strikes, runs)
	return r, origin.Finish()
}
