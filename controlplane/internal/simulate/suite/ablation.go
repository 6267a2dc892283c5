package suite

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// Ablations returns our policy with one of its ideas left out each, and with the other preferences.
func Ablations() []baseline.Contender {
	return append([]baseline.Contender{
		tuned(baseline.Ours, "the default", func(*scaler.Tuning) {}),
		{Name: "spread", About: "leases from the emptiest instance", Apply: func(s *simulate.Settings, _ workload.Workload) { s.Pool.Spread = true }},
		untold(),
		tuned("keep-10s", "idle instances are kept for 10 s", func(t *scaler.Tuning) {
			t.Restart, t.Learn = float64(10*time.Second)/float64(25*time.Millisecond), false
		}),
		tuned("no-beats", "crowds at a beat are not foreseen", func(t *scaler.Tuning) { t.Foresee = 0 }),
		tuned("no-learned-keep", "idle instances are always kept for as long as a restart costs", func(t *scaler.Tuning) { t.Learn = false }),
		tuned("patience-30ms", "waits up to 30 ms for a slot to be given back", func(t *scaler.Tuning) { t.Patience = 30 * time.Millisecond }),
		tuned("no-rise", "starts for those who wait, not for those who will come", func(t *scaler.Tuning) { t.Rise = 0 }),
		tuned("no-headroom", "holds no slot free", func(t *scaler.Tuning) { t.Headroom = 0 }),
		tuned("no-reserve", "keeps no environments for the next peak", func(t *scaler.Tuning) { t.Reserve = -1 }),
	}, Preferences()...)
}

// Preferences returns our policy with the preferences that are not the default.
func Preferences() []baseline.Contender {
	return []baseline.Contender{preferring(scaler.Cost), preferring(scaler.Latency)}
}

func tuned(name, about string, change func(*scaler.Tuning)) baseline.Contender {
	t := scaler.Balanced.Tuning()
	change(&t)
	return baseline.Contender{Name: name, About: about, Apply: func(s *simulate.Settings, _ workload.Workload) {
		s.Pool.Scaling.Policy = scaler.Frugal(t)
	}}
}

func preferring(p scaler.Preference) baseline.Contender {
	return baseline.Contender{Name: "preference " + string(p), About: "prefers " + string(p), Apply: func(s *simulate.Settings, _ workload.Workload) {
		s.Pool.Scaling.Preference = p
	}}
}
