package main

import (
	"context"
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
	progress *progress

	plan     suite.Plan // without workloads: the whole suite
	recorded []workload.Generator
	missing  string // the folder of traces, if there is none in it
	plots    string
	json     string
}

// runSimulate compares policies on workloads, and prints tables in Markdown.
func runSimulate(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseSimulation(args)
	if err == nil {
		s.progress = newProgress(ctx, stderr)
		s.plan.Before = s.progress.before
		err = s.run(stdout)
	}
	if ctx.Err() != nil {
		return errors.New("simulate: interrupted")
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("simulate: %w", err)
	}
	return err
}

func (s *simulation) run(stdout io.Writer) error {
	if len(s.plan.Workloads) == 0 {
		return s.suite(stdout)
	}
	s.progress.enter("all policies")
	rows, err := s.plan.Run()
	if err != nil {
		return err
	}
	report.Table(stdout, rows)
	return errors.Join(s.save(rows), s.plot(s.plan.Workloads))
}

// suite runs all that docs/scaling.md shows.
func (s *simulation) suite(stdout io.Writer) error {
	s.progress.enter("1 of 4: all policies")
	rows, err := s.plan.Full(s.recorded)
	if err != nil {
		return err
	}
	s.progress.enter("2 of 4: steps")
	steps, err := s.plan.RunSteps()
	if err != nil {
		return err
	}
	without := s.plan
	without.Workloads, without.Policies = suite.All(), suite.Ablations()
	without.Seeds = min(without.Seeds, ablationSeeds)
	s.progress.enter("3 of 4: without each idea")
	ablations, err := without.Run()
	if err != nil {
		return err
	}
	learner := s.plan
	learner.Seeds = min(s.plan.Seeds, ablationSeeds)
	s.progress.enter("4 of 4: learned concurrency")
	concurrency, err := learner.RunConcurrency()
	if err != nil {
		return err
	}
	if s.missing != "" {
		fmt.Fprintf(stdout, "No recorded traces in %s: their rows are left out. docs/scaling-tables.md says where to get them.\n\n", s.missing)
	}
	fmt.Fprint(stdout, "## Targets\n\n")
	report.Targets(stdout, report.Verdicts(rows))
	fmt.Fprint(stdout, "\n## Steps\n\n")
	report.Steps(stdout, steps)
	fmt.Fprint(stdout, "\n## Without each idea\n\n")
	report.Ablations(stdout, ablations)
	fmt.Fprint(stdout, "\n## Learned concurrency\n\n")
	report.Concurrency(stdout, concurrency)
	fmt.Fprint(stdout, "\n## Everything\n\n")
	report.Table(stdout, rows)
	return errors.Join(s.save(rows), s.plot(suite.All()))
}

// ablationSeeds keeps the comparisons of our policy with itself short.
const ablationSeeds = 3

func parseSimulation(args []string) (*simulation, error) {
	s := &simulation{}
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.IntVar(&s.plan.Seeds, "seeds", 20, "")
	flags.Uint64Var(&s.plan.FirstSeed, "first-seed", 1, "")
	flags.IntVar(&s.plan.Concurrency, "concurrency", 10, "")
	m := &model{}
	m.define(flags)
	flags.StringVar(&s.plots, "plots", "", "")
	folder := flags.String("traces", "../shared/traces", "")
	flags.StringVar(&s.json, "json", "", "")
	preset := flags.String("preset", lambda.Presets()[0].Name, "")
	policies := flags.String("policy", "all", "")
	var traces []string
	flags.Func("trace", "", func(path string) error {
		traces = append(traces, path)
		return nil
	})
	flags.Func("workload", "", func(name string) error {
		g, err := suite.ByName(name)
		s.plan.Workloads = append(s.plan.Workloads, g)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return nil, usageError{err}
	}
	if flags.NArg() > 0 {
		return nil, usagef("unexpected argument %q", flags.Arg(0))
	}
	if s.plan.Seeds < 1 || s.plan.Concurrency < 1 {
		return nil, usagef("--seeds and --concurrency must be at least 1")
	}
	s.plan.Change = m.apply
	for _, path := range traces {
		load, err := workload.Open(path)
		if err != nil {
			return nil, err
		}
		s.plan.Workloads = append(s.plan.Workloads, load.Recorded())
	}
	var err error
	if s.recorded, err = workload.Folder(*folder); err != nil {
		return nil, err
	}
	if len(s.recorded) == 0 {
		s.missing = *folder
	}
	if s.plan.Preset, err = lambda.PresetByName(*preset); err != nil {
		return nil, usageError{err}
	}
	if s.plan.Policies, err = contenders(*policies); err != nil {
		return nil, usageError{err}
	}
	return s, nil
}

// policies explains each contender in a line.
func policies() string {
	var text strings.Builder
	for _, c := range baseline.Contenders() {
		fmt.Fprintf(&text, "  %-18s  %s\n", c.Name, c.About)
	}
	return text.String()
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

// save writes the rows where that was asked for.
func (s *simulation) save(rows []suite.Row) error {
	if s.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.json, append(text, '\n'), 0o644)
}

// plot draws each policy on each workload, with the first seed, where that was asked for.
func (s *simulation) plot(workloads []workload.Generator) error {
	if s.plots == "" {
		return nil
	}
	if err := os.MkdirAll(s.plots, 0o755); err != nil {
		return err
	}
	for _, g := range workloads {
		load := g.Make(s.plan.FirstSeed)
		for _, c := range s.plan.Policies {
			if err := s.plotOne(load, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// plotSamples is how many points a curve has.
const plotSamples = 300

func (s *simulation) plotOne(load workload.Workload, c baseline.Contender) error {
	r, err := s.plan.One(load, c, s.plan.FirstSeed, plotSamples)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(s.plots, load.Name+"-"+c.Name+".svg"))
	if err != nil {
		return err
	}
	return errors.Join(report.Plot(f, load.Name+", policy "+c.Name, r), f.Close())
}
