// Command bench measures what Lambda Dispatch costs. The same app is behind a plain Envoy and behind the whole path. Both are measured in
// turn within one run, so that other work of the machine affects both alike. docs/performance.md explains the report.
//
// It runs in the project's root, after make build envoy.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/command"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load"
)

func main() { command.Main("bench", run) }

// settings are what a run does. The defaults take about eight minutes.
type settings struct {
	Apps         int           `json:"apps"`
	Workers      int           `json:"envoy_workers"`
	Connections  int           `json:"connections"`
	Rounds       int           `json:"rounds"`
	Round        time.Duration `json:"round_ns"`
	SingleRounds int           `json:"single_rounds"`
	SingleRound  time.Duration `json:"single_round_ns"`
	Trials       int           `json:"first_answer_trials"`
	Instances    int           `json:"idle_instances"`
	out          string
	seen         bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{Workers: 2}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.Apps, "apps", 4, "app processes")
	flags.IntVar(&s.Connections, "connections", 100, "client connections")
	flags.IntVar(&s.Rounds, "rounds", 6, "rounds under load")
	flags.DurationVar(&s.Round, "round", 5*time.Second, "how long each is")
	flags.IntVar(&s.SingleRounds, "single-rounds", 5, "rounds with one request at a time")
	flags.DurationVar(&s.SingleRound, "single-round", 2*time.Second, "how long each is")
	flags.IntVar(&s.Trials, "trials", 25, "first answers per kind of tunnel")
	flags.IntVar(&s.Instances, "instances", 1000, "idle instances")
	flags.StringVar(&s.out, "out", "bench/results", "folder of the results")
	flags.BoolVar(&s.seen, "seen", false, "measure what access log and traces cost, and nothing else; writes no results")
	return s, flags.Parse(args)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 2 && args[0] == peersCommand {
		return runPeers(ctx, args[1])
	}
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, s.Workers)
	if err != nil {
		return err
	}
	defer l.Close()
	if s.seen {
		return runSeen(ctx, l, s, stdout)
	}
	r, err := newReport(s)
	if err != nil {
		return err
	}
	if err := r.measure(ctx, l, stdout); err != nil {
		return err
	}
	path, err := r.write(s.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%s\nwritten to %s\n", r.markdown(filepath.Base(path)), path)
	return nil
}

// measure fills the report in.
func (r *report) measure(ctx context.Context, l *lab.Lab, stdout io.Writer) error {
	if err := r.measureRequests(ctx, l, stdout); err != nil {
		return err
	}
	for _, w := range ways {
		fmt.Fprintf(stdout, "%s: %d idle instances\n", w, r.Settings.Instances)
		i, err := measureIdle(ctx, l, w, r.Settings.Instances)
		if err != nil {
			return err
		}
		r.Idle = append(r.Idle, i)
	}
	return r.Finish()
}

const plainName = "plain"

// lateFunction is the name of a function that has an instance for moments only.
const lateFunction = "late"

// measureRequests has all systems up at once, because a system without requests costs next to nothing.
func (r *report) measureRequests(ctx context.Context, parent *lab.Lab, stdout io.Writer) error {
	l, err := parent.Sub("r")
	if err != nil {
		return err
	}
	defer l.Close()
	plain, err := startPlain(ctx, l, r.Settings.Apps)
	if err != nil {
		return err
	}
	systems := []*system{plain}
	var paths []*through
	for _, w := range ways {
		t, err := r.startPath(ctx, l, w)
		if err != nil {
			return err
		}
		paths, systems = append(paths, t), append(systems, &t.system)
	}
	if err := r.load(ctx, systems, stdout); err != nil {
		return err
	}
	for _, t := range paths {
		fmt.Fprintf(stdout, "%s: %d first answers\n", t.name, r.Settings.Trials)
		took, err := t.firstAnswers(ctx, lateFunction, r.Settings.Trials)
		if err != nil {
			return err
		}
		r.First[t.name] = quantile{len(took), slices.Min(took), median(took), slices.Max(took)}
	}
	return nil
}

// startPath starts a whole path with its apps. Together they have slots for every connection, so that no request queues.
func (r *report) startPath(ctx context.Context, parent *lab.Lab, w way) (*through, error) {
	l, err := parent.Sub(w.String())
	if err != nil {
		return nil, err
	}
	parent.Defer(l.Close)
	slots := 2 * (r.Settings.Connections/r.Settings.Apps + 1)
	t, err := startThrough(ctx, l, w, map[string]int{"app": slots, lateFunction: 10}, "")
	if err != nil {
		return nil, err
	}
	return t, t.startApps(ctx, l, "app", r.Settings.Apps)
}

// load runs the rounds: warm-up, many connections, one connection.
func (r *report) load(ctx context.Context, systems []*system, stdout io.Writer) error {
	s := r.Settings
	for _, phase := range []struct {
		what   string
		rounds int
		opts   load.Options
		into   map[string]row
	}{
		{"warming up", 1, load.Options{Connections: s.Connections, Duration: time.Second}, nil},
		{"under load", s.Rounds, load.Options{Connections: s.Connections, Duration: s.Round}, r.Throughput},
		{"one request at a time", s.SingleRounds, load.Options{Connections: 1, Duration: s.SingleRound}, r.Single},
	} {
		fmt.Fprintf(stdout, "%s: %d rounds of %v for each of %d systems\n", phase.what, phase.rounds, phase.opts.Duration, len(systems))
		samples, err := rounds(ctx, systems, phase.rounds, phase.opts)
		if err != nil {
			return err
		}
		for n, system := range systems {
			if phase.into != nil {
				phase.into[system.name] = newRow(samples[n])
			}
		}
	}
	return nil
}
