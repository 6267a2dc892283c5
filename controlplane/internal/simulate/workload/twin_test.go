package workload_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// traits are what a twin is to have of its original.
type traits struct {
	rate               float64 // a second
	median, p90        float64 // of the service times, s
	busiest            float64 // requests in the 1 % busiest seconds, at least
	pauses             float64 // share of the seconds in which none comes
	instancesPerSecond float64 // that the requests fill, in the mean
}

func traitsOf(w workload.Workload) traits {
	span := w.Requests[len(w.Requests)-1].At.Seconds()
	counts, service := make([]float64, int(span)+1), []float64{}
	for _, r := range w.Requests {
		counts[int(r.At.Seconds())]++
		service = append(service, r.Service.Seconds())
	}
	slices.Sort(counts)
	slices.Sort(service)
	n, _ := slices.BinarySearch(counts, 1)
	at := func(v []float64, q float64) float64 { return v[int(q*float64(len(v)-1))] }
	return traits{
		rate: float64(len(w.Requests)) / span, median: at(service, 0.5), p90: at(service, 0.9),
		busiest: at(counts, 0.99), pauses: float64(n) / float64(len(counts)), instancesPerSecond: w.Bound(10).Seconds() / span,
	}
}

// The originals, measured on the public files.
var originals = map[string]traits{
	"azllm_code-twin": {2.57, 0.524, 1.36, 28, 0.73, 0.405},
	"azllm_conv-twin": {5.62, 2.87, 8.74, 13, 0.004, 3.07},
}

func TestATwinResemblesItsOriginal(t *testing.T) {
	for _, g := range workload.Twins() {
		want := originals[g.Name]
		var got traits
		const seeds = 20
		for seed := range uint64(seeds) {
			s := traitsOf(g.Make(seed + 1))
			got.rate += s.rate / seeds
			got.median += s.median / seeds
			got.p90 += s.p90 / seeds
			got.busiest += s.busiest / seeds
			got.pauses += s.pauses / seeds
			got.instancesPerSecond += s.instancesPerSecond / seeds
		}
		t.Log(g.Name, got)
		near := func(want, got, by float64, what string) {
			require.Less(t, math.Abs(want-got), by*want+0.01, "%s: %s %v, the original's %v", g.Name, what, got, want)
		}
		near(want.rate, got.rate, 0.1, "rate")
		near(want.median, got.median, 0.05, "median")
		near(want.p90, got.p90, 0.05, "p90")
		near(want.busiest, got.busiest, 0.15, "busiest seconds")
		near(want.pauses, got.pauses, 0.1, "pauses")
		near(want.instancesPerSecond, got.instancesPerSecond, 0.1, "instances")
	}
}

func TestAFolderOfTraces(t *testing.T) {
	dir := t.TempDir()
	none, err := workload.Folder(filepath.Join(dir, "nowhere"))
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mine.csv"), []byte("at,service_ms\n1,100\n2,300\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("at"), 0o600))
	traces, err := workload.Folder(dir)
	require.NoError(t, err)
	require.Len(t, traces, 1)
	require.Equal(t, "mine", traces[0].Name)
	require.Equal(t, []workload.Request{{At: 0, Service: 100 * time.Millisecond}, {At: second, Service: 300 * time.Millisecond}}, traces[0].Make(7).Requests)
	w, err := workload.Named(filepath.Join(dir, "mine.csv"))
	require.NoError(t, err)
	require.Len(t, w.Requests, 2)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.csv"), []byte("at\nx\n"), 0o600))
	_, err = workload.Folder(dir)
	require.ErrorContains(t, err, `bad.csv: line 2, at: "x" is not a number`)
}

func TestANameIsATwinOrAFile(t *testing.T) {
	w, err := workload.Named("azllm_code-twin")
	require.NoError(t, err)
	require.Greater(t, len(w.Requests), 5000)
	_, err = workload.Named("nowhere.csv")
	require.ErrorContains(t, err, "without a file there are azllm_code-twin, azllm_conv-twin")
}
