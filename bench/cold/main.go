// Command cold shows what clients of apps see that answer in 100 ms and take 8 s to start: the same requests at the same
// moment, one per environment through lambdalocal's direct front end, and dispatched through Envoy and the control plane. One app
// sleeps, the other is a build of Next.js, where there is one.
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

func main() { command.Main("cold", run) }

// settings are what a run does. The defaults take six minutes.
type settings struct {
	Init    time.Duration `json:"init_ns"`
	Service time.Duration `json:"service_ns"`
	Seed    uint64        `json:"seed"`
	Workers int           `json:"envoy_workers"`
	Next    string        `json:"-"` // folder of the build; empty: none
	out     string
	plots   string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{Workers: 2}
	flags := flag.NewFlagSet("cold", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&s.Init, "init", 8*time.Second, "how long the app takes to start")
	flags.DurationVar(&s.Service, "service", 100*time.Millisecond, "how long it takes to answer")
	flags.Uint64Var(&s.Seed, "seed", 1, "of the arrivals")
	flags.StringVar(&s.Next, "nextjs", "", "folder of a build of Next.js, for example .tools/nextjs-cold-...; default none")
	flags.StringVar(&s.out, "out", "bench/results", "folder of the results")
	flags.StringVar(&s.plots, "plots", "docs/cold", "folder of the plots")
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
	name := r.Name("cold")
	page := r.markdown(name)
	fmt.Fprintf(stdout, "\n%s\n", page)
	if err := lab.Save(s.out, name, r, "cold.md", page); err != nil {
		return err
	}
	if err := r.plot(s.plots); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "written to %s and %s\n", filepath.Join(s.out, name), s.plots)
	return err
}
