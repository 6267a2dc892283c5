// Command bill measures what the same requests to the same app cost three ways: one request per environment, through
// lambdalocal's direct front end; through Envoy and the control plane; and on Lambda Managed Instances. The dollars are those of lambdalocal's ledger.
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

func main() { command.Main("bill", run) }

// settings are what a run does. The defaults take about seven minutes.
type settings struct {
	Sparse  time.Duration `json:"sparse_ns"` // how long each workload is
	Steady  time.Duration `json:"steady_ns"`
	Bursty  time.Duration `json:"bursty_ns"` // of the trace, before it is compressed
	Factor  float64       `json:"trace_compressed"`
	Rate    time.Duration `json:"rate_ns"` // of each of the rates around the break-even
	Lone    int           `json:"lone_requests"`
	Workers int           `json:"envoy_workers"`
	out     string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{Workers: 2}
	flags := flag.NewFlagSet("bill", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&s.Sparse, "sparse", 30*time.Second, "length of the sparse workload")
	flags.DurationVar(&s.Steady, "steady", 20*time.Second, "length of the steady one")
	flags.DurationVar(&s.Bursty, "bursty", 4*time.Minute, "how much of the trace is replayed")
	flags.Float64Var(&s.Factor, "factor", 5, "how many times faster")
	flags.DurationVar(&s.Rate, "rate", 10*time.Second, "how long each rate around the break-even is measured")
	flags.IntVar(&s.Lone, "lone", 12, "lone requests")
	flags.StringVar(&s.out, "out", "bench/results", "folder of the results")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	return s, s.check()
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
	name := r.Name("bill")
	page := r.markdown(name)
	fmt.Fprintf(stdout, "\n%s\n", page)
	if err := r.verdict(); err != nil {
		return err
	}
	if err := lab.Save(s.out, name, r, "bill.md", page); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "written to %s\n", filepath.Join(s.out, name))
	return err
}
