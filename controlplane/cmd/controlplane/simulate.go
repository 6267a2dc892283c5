package main

import (
	"bytes"
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
	part     string // of the suite; empty: all
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

// A part of the suite, and what it is called on the page.
type part struct {
	name, title string
	run         func(*simulation, io.Writer) error
}

func parts() []part {
	return []part{
		{"policies", "Everything", (*simulation).policies},
		{"steps", "Steps", (*simulation).steps},
		{"ideas", "Without each idea", (*simulation).ideas},
		{"concurrency", "Learned concurrency", (*simulation).concurrency},
	}
}

// suite runs all that docs/scaling-tables.md shows, or one part of it.
func (s *simulation) suite(stdout io.Writer) error {
	for k, p := range parts() {
		if s.part != "" && s.part != p.name {
			continue
		}
		s.progress.enter(fmt.Sprintf("%d of 4: %s", k+1, p.title))
		var table bytes.Buffer
		if err := p.run(s, &table); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "\n## %s\n\n%s", p.title, table.Bytes())
	}
	return nil
}

func (s *simulation) policies(stdout io.Writer) error {
	s.plan.RivalSeeds = fewSeeds
	rows, err := s.plan.Full(s.recorded)
	if err != nil {
		return err
	}
	if s.missing != "" {
		fmt.Fprintf(stdout, "No recorded traces in %s: their rows are left out. docs/scaling-tables.md says where to get them.\n\n", s.missing)
	}
	report.Table(stdout, rows)
	fmt.Fprint(stdout, "\n## Targets\n\n")
	report.Targets(stdout, report.Verdicts(rows))
	return errors.Join(s.save(rows), s.plot(suite.All()))
}

func (s *simulation) steps(stdout io.Writer) error {
	rows, err := s.plan.RunSteps()
	if err == nil {
		report.Steps(stdout, rows)
	}
	return err
}

func (s *simulation) ideas(stdout io.Writer) error {
	without := s.plan
	without.Workloads, without.Policies, without.Seeds = suite.All(), suite.Ablations(), min(s.plan.Seeds, fewSeeds)
	rows, err := without.Run()
	if err == nil {
		report.Ablations(stdout, rows)
	}
	return err
}

func (s *simulation) concurrency(stdout io.Writer) error {
	learner := s.plan
	learner.Seeds = min(s.plan.Seeds, fewSeeds)
	rows, err := learner.RunConcurrency()
	if err == nil {
		report.Concurrency(stdout, rows)
	}
	return err
}

// fewSeeds are enough for rivals, whose ratios differ by tenths, and for the comparison of our policy with itself.
const fewSeeds = 3

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
	flags.Func("part", "", func(name string) error {
		s.part = name
		if !slices.ContainsFunc(parts(), func(p part) bool { return p.name == name }) {
			return errors.New("is none of policies, steps, ideas, concurrency")
		}
		return nil
	})
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
