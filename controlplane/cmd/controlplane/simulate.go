package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/report"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/suite"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// simulation is what the arguments of simulate ask for.
type simulation struct {
	plan    suite.Plan
	heldOut bool // the whole suite: also what the policy was not tuned on, with other seeds
	plots   string
	json    string
}

// heldOutSeed is the first of the seeds that nothing was tuned on.
const heldOutSeed = 1001

// runSimulate compares policies on workloads, and prints tables in Markdown.
func runSimulate(args []string, stdout io.Writer) error {
	s, err := parseSimulation(args)
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	rows, err := s.plan.Run()
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	if s.heldOut {
		held := s.plan
		held.FirstSeed = heldOutSeed
		held.Workloads = append(suite.Tuned(), suite.HeldOut()...)
		more, err := held.Run()
		if err != nil {
			return fmt.Errorf("simulate: %w", err)
		}
		for k := range more {
			more[k].Workload += " (held out)"
		}
		rows = append(rows, more...)
	}
	if err := s.save(rows); err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	if verdicts := report.Verdicts(rows); len(verdicts) > 0 {
		report.Targets(stdout, verdicts)
		fmt.Fprintln(stdout)
	}
	report.Table(stdout, rows)
	return nil
}

func parseSimulation(args []string) (*simulation, error) {
	s := &simulation{}
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.IntVar(&s.plan.Seeds, "seeds", 20, "")
	flags.Uint64Var(&s.plan.FirstSeed, "first-seed", 1, "")
	flags.IntVar(&s.plan.Concurrency, "concurrency", 10, "")
	flags.StringVar(&s.plots, "plots", "", "")
	flags.StringVar(&s.json, "json", "", "")
	preset := flags.String("preset", lambda.Presets()[0].Name, "")
	policies := flags.String("policy", "all", "")
	flags.Func("trace", "", func(path string) error { return s.addTrace(path) })
	flags.Func("workload", "", func(name string) error {
		g, err := suite.ByName(name)
		s.plan.Workloads = append(s.plan.Workloads, g)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.plan.Seeds < 1 || s.plan.Concurrency < 1 {
		return nil, errors.New("--seeds and --concurrency must be at least 1")
	}
	if len(s.plan.Workloads) == 0 {
		s.plan.Workloads, s.heldOut = suite.Tuned(), true
	}
	var err error
	if s.plan.Preset, err = lambda.PresetByName(*preset); err != nil {
		return nil, err
	}
	s.plan.Policies, err = contenders(*policies)
	return s, err
}

// addTrace reads a file once; every seed replays it.
func (s *simulation) addTrace(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	load, err := workload.Read(name, f)
	if err != nil {
		return err
	}
	s.plan.Workloads = append(s.plan.Workloads, workload.Generator{Name: name, Make: func(uint64) workload.Workload { return load }})
	return nil
}

// contenders finds policies by their names, comma separated.
func contenders(names string) ([]baseline.Contender, error) {
	all := baseline.Contenders()
	if names == "all" {
		return all, nil
	}
	var out []baseline.Contender
	for name := range strings.SplitSeq(names, ",") {
		k := slices.IndexFunc(all, func(c baseline.Contender) bool { return c.Name == name })
		if k < 0 {
			var known []string
			for _, c := range all {
				known = append(known, c.Name)
			}
			return nil, fmt.Errorf("policy %q: unknown, there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, all[k])
	}
	return out, nil
}

// save writes the rows and the plots where they were asked for.
func (s *simulation) save(rows []suite.Row) error {
	if s.json != "" {
		text, err := json.MarshalIndent(rows, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if s.plots == "" {
		return nil
	}
	if err := os.MkdirAll(s.plots, 0o755); err != nil {
		return err
	}
	for _, g := range s.plan.Workloads {
		load := g.Make(s.plan.FirstSeed)
		for _, c := range s.plan.Policies {
			if err := s.plot(load, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// plotSamples is how many points a curve has.
const plotSamples = 400

func (s *simulation) plot(load workload.Workload, c baseline.Contender) error {
	r, err := s.plan.One(load, c, s.plan.FirstSeed, plotSamples)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(s.plots, load.Name+"-"+c.Name+".svg"))
	if err != nil {
		return err
	}
	if err := report.Plot(f, load.Name+", policy "+c.Name, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
