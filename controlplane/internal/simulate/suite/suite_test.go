package suite_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/suite"
)

// How much worse than the committed numbers our policy may get. Waits get a little more: they are near zero.
const (
	worse     = 1.05
	worseWait = 5 // ms
)

var update = flag.Bool("update", false, "commit to the numbers of this run")

// The committed numbers are made by `make simulate-numbers`: of the default preference, and with fewer runs of the other two. A change that improves them should commit new ones.
func TestLongThePolicyDoesNotGetWorse(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	plan := suite.Plan{Policies: baseline.Contenders()[:1], Seeds: 2, Concurrency: 10, Preset: lambda.Presets()[0]}
	rows, err := plan.Full(nil)
	require.NoError(t, err)
	plan.Workloads, plan.Policies, plan.FirstSeed, plan.Seeds = suite.All(), suite.Preferences(), 1, 1
	others, err := plan.Run()
	require.NoError(t, err)
	rows = append(rows, others...)
	if *update {
		text, err := json.MarshalIndent(rows, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/ours.json", append(text, '\n'), 0o644))
	}
	text, err := os.ReadFile("testdata/ours.json")
	require.NoError(t, err)
	var committed []suite.Row
	require.NoError(t, json.Unmarshal(text, &committed))
	require.Len(t, rows, len(committed))
	for k, want := range committed {
		got := rows[k]
		require.Equal(t, want.Workload, got.Workload)
		require.Equal(t, want.Policy, got.Policy)
		require.Empty(t, worsened(got, want), "%s, %s", got.Workload, got.Policy)
	}
}

// worsened names what is worse in a row of our policy than in the one that was committed.
func worsened(got, want suite.Row) (what []string) {
	for _, n := range []struct {
		name      string
		got, most float64
	}{
		{"billed over the bound", got.Ratio.Mean, want.Ratio.Mean * worse},
		{"billed over the least", got.OverLeast.Mean, want.OverLeast.Mean * worse},
		{"dollars", got.Dollars.Mean, want.Dollars.Mean * worse},
		{"settled wait p99, ms", got.Settled.Mean, want.Settled.Mean*worse + worseWait},
		{"settled cold waits, %", got.SettledCold.Mean, want.SettledCold.Mean*worse + 0.05},
		{"lost requests", got.Lost.Mean, 0},
	} {
		if n.got > n.most {
			what = append(what, fmt.Sprintf("%s: %.4g, at most %.4g", n.name, n.got, n.most))
		}
	}
	return what
}

// A ratio that gets worse by 5 % fails, whichever it is, and one that gets better does not.
func TestWhatGetsWorseIsNamed(t *testing.T) {
	committed := suite.Row{}
	for _, s := range []*suite.Stat{&committed.Ratio, &committed.OverLeast, &committed.Dollars} {
		s.Mean = 1.2
	}
	require.Empty(t, worsened(committed, committed))
	for name, of := range map[string]func(*suite.Row) *suite.Stat{
		"billed over the bound": func(r *suite.Row) *suite.Stat { return &r.Ratio },
		"billed over the least": func(r *suite.Row) *suite.Stat { return &r.OverLeast },
		"dollars":               func(r *suite.Row) *suite.Stat { return &r.Dollars },
	} {
		got := committed
		of(&got).Mean = 1.2 * 1.051
		require.Len(t, worsened(got, committed), 1)
		require.Contains(t, worsened(got, committed)[0], name)
		of(&got).Mean = 1.2 * 1.049
		require.Empty(t, worsened(got, committed), name)
		of(&got).Mean = 1
		require.Empty(t, worsened(got, committed), name)
	}
}

// Every policy survives every workload with all assertions on, and none that makes nobody wait bills less than the bound.
func TestEveryPolicyRuns(t *testing.T) {
	code, err := suite.ByName("azllm_code-twin")
	require.NoError(t, err)
	mmpp, err := suite.ByName("mmpp")
	require.NoError(t, err)
	plan := suite.Plan{Policies: append(baseline.Contenders(), suite.Ablations()...), FirstSeed: 1, Seeds: 1, Concurrency: 10, Preset: lambda.Presets()[1]}
	plan.Workloads = append(plan.Workloads, code, mmpp)
	rows, err := plan.Run()
	require.NoError(t, err)
	for _, r := range rows {
		require.Greater(t, r.Ratio.Mean, 1.0, r.Policy)
		require.Less(t, r.Lost.Mean, 10.0, r.Policy)
		require.Positive(t, r.Utilization.Mean, r.Policy)
		require.LessOrEqual(t, r.Utilization.Mean, 100.0, r.Policy)
	}
}

// A crowd finds nothing: our policy starts what is needed, at once.
func TestStepsAreAsQuickAsCanBe(t *testing.T) {
	plan := suite.Plan{FirstSeed: 1, Seeds: 3, Concurrency: 10, Preset: lambda.Presets()[0]}
	rows, err := plan.RunSteps()
	require.NoError(t, err)
	for k := 0; k < len(rows); k += 2 {
		ours, seer := rows[k], rows[k+1]
		limit := 1.2
		if ours.Started.Mean != ours.Peak.Mean {
			limit = 1.8 // a rate that begins: nobody can know it at the first request
		}
		require.LessOrEqual(t, ours.Empty.Mean, seer.Empty.Mean*limit, ours.Workload)
	}
	require.Equal(t, 10.0, rows[0].Started.Mean)
	require.Equal(t, 100.0, rows[2].Started.Mean)
}
