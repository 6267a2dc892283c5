package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	missing  string // why the suite has no recorded traces; empty: it has some
	plots    string
	json     string
	page     string // a file into whose marked places the tables are put; empty: none
}

const aboutSimulate = `Replay workloads through the scheduler beside a model of Lambda, and compare policies. The tables are in Markdown.
Without --trace and --workload it runs the suite of docs/scaling.md. TIME is for example 14s; SHARE is from 0 to 1.

Columns of a trace, named in its first line, one request per line; # begins a comment:
  when it arrives, one of these:
    at                seconds since any moment: 12.5
    at_ms             milliseconds since any moment: 12500
    TIMESTAMP         date and time: 2023-11-16 18:17:03.9799600, also with a zone, and as in RFC 3339
  how long it is served, optional; default one second:
    service_ms        milliseconds: 250
    GeneratedTokens   or generated_tokens: of a language model; 150 ms, and 20 ms for each
    ContextTokens     or context_tokens: beside GeneratedTokens; 0.05 ms more for each
  whether it says that it is long, a WebSocket or server-sent events; optional:
    stream            true or false

Policies:
%s`

func (a *app) simulateCommand() *cobra.Command {
	var flags simulateFlags
	c := &cobra.Command{
		Use: "simulate [FLAG]...", GroupID: planning, Short: "Replay workloads through the scheduler, and compare policies",
		Long: fmt.Sprintf(aboutSimulate, policies()), Args: exactly(), DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, _ []string) error { return a.simulate(c.Context(), &flags) },
	}
	flags.define(c.Flags())
	return complete(c, map[string][]string{
		"part": partNames(), "policy": append(policyNames(), "all"), "preset": presets(), "workload": suite.Names(),
		"preference": {"cost", "balanced", "latency"}, "learn": {"yes", "no"}, "works-on": {"yes", "no"},
	})
}

// simulate prints tables in Markdown.
func (a *app) simulate(ctx context.Context, w *simulateFlags) error {
	s, err := w.simulation()
	if err == nil {
		s.progress = newProgress(ctx, a.stderr)
		s.plan.Before = s.progress.before
		err = s.run(a.stdout)
	}
	if ctx.Err() != nil {
		return errors.New("simulate: interrupted")
	}
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	return nil
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

// A part of the suite, and what it is called while it runs.
type part struct {
	name, title string
	run         func(*simulation) ([]report.Section, error)
}

func parts() []part {
	return []part{
		{"policies", "ours and its rivals", (*simulation).policies},
		{"steps", "steps", (*simulation).steps},
		{"ideas", "without each idea", (*simulation).ideas},
		{"streams", "streams", (*simulation).streams},
		{"concurrency", "learned concurrency", (*simulation).concurrency},
	}
}

// suite runs all that docs/scaling-tables.md shows, or one part of it.
func (s *simulation) suite(stdout io.Writer) error {
	for k, p := range parts() {
		if s.part != "" && s.part != p.name {
			continue
		}
		s.progress.enter(fmt.Sprintf("%d of %d: %s", k+1, len(parts()), p.title))
		sections, err := p.run(s)
		if err != nil {
			return err
		}
		for _, section := range sections {
			fmt.Fprintf(stdout, "\n## %s\n\n%s", section.Title, section.Text)
		}
		if s.page == "" {
			continue
		}
		if err := report.PutInto(s.page, sections...); err != nil {
			return err
		}
	}
	return nil
}

// section writes a table below a sentence that says how it was made.
func section(name, title, made string, table func(io.Writer)) report.Section {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s.\n\n", made)
	table(&text)
	return report.Section{Name: name, Title: title, Text: text.String()}
}

func (s *simulation) policies() ([]report.Section, error) {
	s.plan.RivalSeeds = min(s.plan.Seeds, fewSeeds)
	rows, err := s.plan.Full(s.recorded)
	if err != nil {
		return nil, err
	}
	made := seeds(s.plan.Seeds) + ", or half of them where held out"
	if s.missing != "" {
		made += ". " + s.missing + ": the rows of recorded traces are left out. docs/scaling-tables.md says where to get them"
	}
	rivals := "Ours: " + made + ". Others: " + seeds(s.plan.RivalSeeds)
	sections := []report.Section{
		section("ours", "Our policy", made, func(w io.Writer) { report.Table(w, only(baseline.Ours, rows)) }),
		section("missed", "Targets that are missed", made, func(w io.Writer) { report.Targets(w, report.Verdicts(rows)) }),
		section("rivals", "Rivals", rivals, func(w io.Writer) { report.Compare(w, rows) }),
	}
	return sections, errors.Join(s.save(rows), s.plot(suite.All()))
}

func seeds(n int) string {
	if n == 1 {
		return "One seed"
	}
	return fmt.Sprint(n, " seeds")
}

// only returns the rows of one policy.
func only(policy string, rows []suite.Row) []suite.Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r suite.Row) bool { return r.Policy != policy })
}

func (s *simulation) steps() ([]report.Section, error) {
	rows, err := s.plan.RunSteps()
	table := func(w io.Writer) { report.Steps(w, rows) }
	return []report.Section{section("steps", "Steps", seeds(s.plan.Seeds), table)}, err
}

func (s *simulation) ideas() ([]report.Section, error) {
	without := s.plan
	without.Workloads, without.Policies = suite.All(), suite.Ablations()
	rows, err := without.Run()
	if err != nil {
		return nil, err
	}
	return []report.Section{
		section("ideas", "Without each idea", seeds(s.plan.Seeds), func(w io.Writer) { report.Ideas(w, rows, without.Policies) }),
		section("each", "Without each idea, by workload", seeds(s.plan.Seeds), func(w io.Writer) { report.Compare(w, rows) }),
	}, nil
}

func (s *simulation) streams() ([]report.Section, error) {
	few := s.plan
	few.Seeds = min(s.plan.Seeds, fewSeeds)
	rows, err := few.RunStreams()
	if err != nil {
		return nil, err
	}
	return []report.Section{section("streams", "Streams", seeds(few.Seeds), func(w io.Writer) { report.Streams(w, rows) })}, nil
}

func (s *simulation) concurrency() ([]report.Section, error) {
	learner := s.plan
	learner.Seeds = min(s.plan.Seeds, fewSeeds)
	rows, err := learner.RunConcurrency()
	if err != nil {
		return nil, err
	}
	table := func(w io.Writer) { report.Concurrency(w, rows) }
	return []report.Section{section("concurrency", "Learned concurrency", seeds(learner.Seeds), table)}, nil
}

// fewSeeds are enough for rivals, whose ratios differ by tenths, and for throughputs.
const fewSeeds = 3

// simulateFlags is what the command line of simulate says.
type simulateFlags struct {
	model
	seeds, concurrency           int
	firstSeed                    uint64
	traces, workloads            []string
	folder, part, preset, policy string
	plots, json, page            string
}

func (w *simulateFlags) define(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringArrayVar(&w.traces, "trace", nil, "a CSV `FILE` with the columns above; repeatable")
	flags.StringArrayVar(&w.workloads, "workload", nil, "`NAME` of a workload of the suite; repeatable")
	flags.StringVar(&w.folder, "traces", "", "`DIR` of recorded traces, *.csv, that the suite replays as well; default none")
	flags.StringVar(&w.part, "part", "", "a part of the suite: `policies`, steps, ideas, streams or concurrency; default all")
	flags.StringVar(&w.policy, "policy", "all", "`NAME,...` of policies above")
	flags.IntVar(&w.seeds, "seeds", 20, "`N` runs of each pair")
	flags.Uint64Var(&w.firstSeed, "first-seed", 1, "`N`, the seed of the first run")
	flags.IntVar(&w.concurrency, "concurrency", 10, "`N` requests that one instance serves at once")
	flags.StringVar(&w.preset, "preset", lambda.Presets()[0].Name, "`NAME` of start times: "+strings.Join(presets(), ", "))
	flags.StringVar(&w.plots, "plots", "", "`DIR` for an SVG of each workload and policy, first seed")
	flags.StringVar(&w.json, "json", "", "`FILE` for all numbers")
	flags.StringVar(&w.page, "page", "", "a Markdown `FILE` into whose marked places the tables of the suite are put")
	_ = flags.MarkHidden("page") // for make simulate
	w.model.define(flags)
}

// complete tells shells the words that flags take.
func complete(c *cobra.Command, words map[string][]string) *cobra.Command {
	for flag, of := range words {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp))
	}
	return c
}

func presets() (names []string) {
	for _, p := range lambda.Presets() {
		names = append(names, p.Name)
	}
	return names
}

func partNames() (names []string) {
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

func (w *simulateFlags) simulation() (*simulation, error) {
	s := &simulation{part: w.part, plots: w.plots, json: w.json, page: w.page}
	s.plan.Seeds, s.plan.FirstSeed, s.plan.Concurrency, s.plan.Change = w.seeds, w.firstSeed, w.concurrency, w.model.apply
	if w.seeds < 1 || w.concurrency < 1 {
		return nil, usagef("--seeds and --concurrency must be at least 1")
	}
	if w.part != "" && !slices.Contains(partNames(), w.part) {
		return nil, usagef("--part %q is none of %s", w.part, strings.Join(partNames(), ", "))
	}
	if err := w.conflict(); err != nil {
		return nil, err
	}
	if err := w.model.check(); err != nil {
		return nil, err
	}
	var err error
	if s.plan.Preset, err = lambda.PresetByName(w.preset); err != nil {
		return nil, usageError{err}
	}
	if s.plan.Policies, err = contendersNamed(w.policy); err != nil {
		return nil, usageError{err}
	}
	return s, w.addWorkloads(s)
}

// conflict refuses flags that do nothing beside the others.
func (w *simulateFlags) conflict() error {
	named := len(w.traces)+len(w.workloads) > 0
	others := w.part != "" && w.part != parts()[0].name
	switch {
	case named && w.part != "":
		return usagef("--part: has no effect, because --trace or --workload says what is replayed")
	case named && w.folder != "":
		return usagef("--traces: has no effect, because --trace or --workload says what is replayed")
	case others && (w.folder != "" || w.plots != "" || w.json != "" || w.policy != "all"):
		return usagef("--part %s: --traces, --plots, --json and --policy have no effect on it", w.part)
	}
	return nil
}

// addWorkloads adds the workloads that flags name. Without any it adds the recorded ones to the suite.
func (w *simulateFlags) addWorkloads(s *simulation) (err error) {
	for _, name := range w.workloads {
		g, err := suite.ByName(name)
		if err != nil {
			return usageError{err}
		}
		s.plan.Workloads = append(s.plan.Workloads, g)
	}
	for _, path := range w.traces {
		load, err := workload.Open(path)
		if err != nil {
			return err
		}
		s.plan.Workloads = append(s.plan.Workloads, load.Recorded())
	}
	if len(s.plan.Workloads) > 0 {
		return nil
	}
	if w.folder == "" {
		s.missing = "--traces is not given"
		return nil
	}
	if s.recorded, err = workload.Folder(w.folder); err == nil && len(s.recorded) == 0 {
		s.missing = "no traces in " + w.folder
	}
	return err
}

// policies explains each contender in a line.
func policies() string {
	var text strings.Builder
	for _, c := range baseline.Contenders() {
		fmt.Fprintf(&text, "  %-18s  %s\n", c.Name, c.About)
	}
	return text.String()
}

func policyNames() (names []string) {
	for _, c := range baseline.Contenders() {
		names = append(names, c.Name)
	}
	return names
}

// contenders finds policies by their names, comma separated.
func contendersNamed(names string) ([]baseline.Contender, error) {
	all := baseline.Contenders()
	if names == "all" {
		return all, nil
	}
	var out []baseline.Contender
	for name := range strings.SplitSeq(names, ",") {
		k := slices.IndexFunc(all, func(c baseline.Contender) bool { return c.Name == name })
		if k < 0 {
			return nil, fmt.Errorf("policy %q: unknown, there are %s", name, strings.Join(policyNames(), ", "))
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
