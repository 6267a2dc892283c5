// Command replay sends ten minutes of a recorded trace, several times as fast, through everything: Envoy, the control plane
// and lambdalocal. The simulator replays the same requests. Where the two differ, the simulator is wrong.
//
// It runs in the project's root, after make build envoy. docs/performance.md explains what it reports.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/command"
	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

func main() { command.Main("replay", run) }

// settings are what a run does. The defaults take three and a half minutes, of which the trace takes two and a half.
type settings struct {
	Trace   string        `json:"trace"`
	From    time.Duration `json:"from_ns"`
	Length  time.Duration `json:"length_ns"`
	Factor  float64       `json:"compressed"`
	Lone    int           `json:"lone_requests"` // from which the simulator gets the length of a start
	Seeds   int           `json:"seeds"`         // of simulations
	Workers int           `json:"envoy_workers"`
	out     string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{Workers: 2}
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.Trace, "trace", "azllm_code-twin", "a trace: a file, or the twin of a public one")
	flags.DurationVar(&s.From, "from", 20*time.Minute, "where in the trace to begin")
	flags.DurationVar(&s.Length, "length", 10*time.Minute, "how much of it to replay")
	flags.Float64Var(&s.Factor, "factor", 4, "how many times faster")
	flags.IntVar(&s.Lone, "lone", 30, "lone requests, to measure how long starts take")
	flags.IntVar(&s.Seeds, "seeds", 20, "simulations")
	flags.StringVar(&s.out, "out", "bench/results", "folder of the results")
	return s, flags.Parse(args)
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
	r, err := measure(ctx, l, s, stdout)
	if err != nil {
		return err
	}
	name := r.Name("replay")
	page := r.markdown(name)
	if err := lab.Save(s.out, name, r, "replay.md", page); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%s\nwritten to %s\n", page, filepath.Join(s.out, name))
	return r.verdict()
}
