package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

func round(requests int64, p50, envoyCPU, appCPU time.Duration) sample {
	return sample{
		load.Result{Requests: requests, Elapsed: time.Second, Latency: load.Latency{P50: p50, P99: 10 * p50}},
		map[string]time.Duration{roleEnvoy: envoyCPU, roleApps: appCPU},
	}
}

func TestARowAddsItsRoundsUp(t *testing.T) {
	r := newRow([]sample{
		round(1000, time.Millisecond, 50*time.Millisecond, 30*time.Millisecond),
		round(3000, 2*time.Millisecond, 150*time.Millisecond, 90*time.Millisecond),
		round(2000, 9*time.Millisecond, 100*time.Millisecond, 60*time.Millisecond),
	})
	require.EqualValues(t, 6000, r.Requests)
	require.InDelta(t, 2000, r.Rate, 1e-9)
	require.Equal(t, 2*time.Millisecond, r.P50)
	require.Equal(t, 20*time.Millisecond, r.P99)
	require.Equal(t, 50*time.Microsecond, r.CPU[roleEnvoy])
	require.Equal(t, 80*time.Microsecond, r.TotalCPU)
}

func TestRatiosCompareRoundByRound(t *testing.T) {
	plain := newRow([]sample{round(1000, 1, 100, 100), round(1000, 1, 200, 200)})
	other := newRow([]sample{round(1000, 1, 300, 100), round(2000, 1, 800, 800)})
	require.Equal(t, []float64{2, 2}, ratios(other, plain))
}

func TestMedian(t *testing.T) {
	require.Zero(t, median[float64](nil))
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, time.Duration(25), median([]time.Duration{40, 10, 30, 20}))
}

// The page must hold every number's place, whatever the run saw.
func TestThePageNamesEveryAim(t *testing.T) {
	rows := map[string]row{}
	for _, name := range (&report{}).names() {
		rows[name] = newRow([]sample{round(1000, time.Millisecond, time.Second, time.Second)})
	}
	r := &report{
		Throughput: rows, Single: rows,
		First: map[string]quantile{ways[0].String(): {Trials: 1, P50: 3 * time.Millisecond}},
		Idle: []idle{
			{Way: ways[0].String(), Control: perInstance{RSS: 70_000}},
			{Way: ways[1].String(), Control: perInstance{RSS: 30_000}},
			{Way: ways[2].String(), ControlIdleCPU: 0.021},
		},
	}
	page := r.markdown("data.json")
	require.NotContains(t, page, "%!")
	require.Contains(t, page, "| CPU of a request, against plain Envoy | at most 2.1 times | **1.00** (1.00 to 1.00) |")
	require.Contains(t, page, "| tunnel up to first answer, p50 | at most 5.00 ms | 3.00 ms |")
	require.Contains(t, page, "| 70 KB | 30 KB | 0 KB |")
	require.Contains(t, page, "| at most 5 % of a core | 0.0 % | 0.0 % | 2.1 % |")
}

func TestEnvoyAcceptsTheBaseline(t *testing.T) {
	binary := envoytest.Binary(t)
	config, err := plainConfig("127.0.0.1:8080", []string{"127.0.0.1:8081", "127.0.0.1:8082"})
	require.NoError(t, err)
	require.NoError(t, envoy.Validate(t.Context(), binary, []byte(config)))
}

func TestTheControlPlaneAcceptsItsConfiguration(t *testing.T) {
	envoytest.Binary(t)
	for _, w := range ways {
		dir := t.TempDir()
		l, err := lab.New(t.Context(), 1)
		require.NoError(t, err)
		t.Cleanup(l.Close)
		tp := &through{
			way: w,
			Dir: "/tmp/s", Front: "127.0.0.1:1", Admin: "127.0.0.1:2", Relay: "127.0.0.1:3",
			Functions: map[string]int{"app": 50, lateFunction: 10},
		}
		require.NoError(t, tp.prepare(l))
		path := filepath.Join(dir, "controlplane.yaml")
		file, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, controlYAML.Execute(file, tp))
		require.NoError(t, file.Close())
		_, err = controlplane.LoadConfig(path, nil, nil)
		require.NoError(t, err)
	}
}

func TestAPeerIsHeardComingUp(t *testing.T) {
	ups := 0
	log := slog.New(&upHandler{func() { ups++ }}).With("instance", "i-1")
	log.Debug("instance up")
	log.Info("instance ended")
	require.Equal(t, 1, ups)
}

func TestParse(t *testing.T) {
	s, err := parse([]string{"-rounds", "2", "-out", "x"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 2, s.Rounds)
	require.Equal(t, "x", s.out)
	require.Equal(t, 1000, s.Instances)
	_, err = parse([]string{"-nonsense"}, io.Discard)
	require.Error(t, err)
}
