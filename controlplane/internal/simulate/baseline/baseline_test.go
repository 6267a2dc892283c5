package baseline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// A story asks a rule at its own times, and carries out at once what it wants.
type story struct {
	rule scaler.Rule
	s    scaler.State
	now  time.Time
}

func tell(p scaler.Policy) *story {
	return &story{rule: p(scaler.Settings{}), s: scaler.State{Max: 1000, Concurrency: 10, Fleet: scaler.NewFleet()}, now: time.Unix(1_000_000, 0)}
}

// hold keeps so many requests in flight for a while. Those for which there is no slot wait.
func (st *story) hold(inFlight int, d time.Duration) int {
	for end := st.now.Add(d); st.now.Before(end); {
		st.s.Leased = min(inFlight, 10*st.s.Ready)
		st.s.Waiting = inFlight - st.s.Leased
		st.s.Free, st.s.Idle = 10*st.s.Ready-st.s.Leased, st.s.Ready-(st.s.Leased+9)/10
		w := st.rule.Decide(st.now, &st.s)
		st.s.Ready += w.Start - w.Drain
		if next := st.rule.Next(); !next.IsZero() && next.Before(end) {
			st.now = next
		} else {
			st.now = end
		}
	}
	return st.s.Ready
}

// Knative keeps the concurrency at 70 %, scales up in panic within seconds, down only after the panic and then by half at
// most, and to nothing after the stable window and the grace period.
func TestKPA(t *testing.T) {
	st := tell(baseline.KPA)
	require.Equal(t, 1, st.hold(1, time.Millisecond), "from zero at once")
	require.Equal(t, 2, st.hold(14, 2*time.Minute))
	require.GreaterOrEqual(t, st.hold(140, 8*time.Second), 20, "panic")
	require.GreaterOrEqual(t, st.hold(7, 30*time.Second), 20, "it lasts for a minute")
	require.Equal(t, 1, st.hold(7, 3*time.Minute))
	require.Equal(t, 1, st.hold(0, time.Minute))
	require.Zero(t, st.hold(0, time.Minute))
}

func TestUtilizationAndUpstream(t *testing.T) {
	require.Equal(t, 10, tell(baseline.Utilization).hold(60, 3*time.Minute))
	require.Equal(t, 12, tell(baseline.Upstream).hold(60, time.Second))
	require.Equal(t, 60, tell(baseline.PerWaiter).hold(60, time.Millisecond))
}

// The clairvoyant has instances when requests come, if it may, and none that it does not need.
func TestClairvoyant(t *testing.T) {
	load := workload.Workload{Requests: []workload.Request{{At: 10 * time.Second, Service: time.Second}, {At: 20 * time.Second, Service: time.Second}}}
	for blind, started := range map[bool]time.Duration{false: 10*time.Second - 2500*time.Millisecond, true: 10 * time.Second} {
		rule := baseline.Clairvoyant(load, blind)(scaler.Settings{})
		s := scaler.State{Max: 10, Concurrency: 10, Fleet: scaler.NewFleet()}
		first := time.Duration(-1)
		for at := time.Duration(0); at < 11*time.Second && first < 0; at += 10 * time.Millisecond {
			if rule.Decide(simulate.Epoch().Add(at), &s).Start > 0 {
				first = at
			}
		}
		require.InDelta(t, started, first, float64(20*time.Millisecond))
	}
}
