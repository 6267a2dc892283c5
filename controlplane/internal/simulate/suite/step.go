package suite

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// A StepRow says how a policy served a load that began at once, where no environment existed.
type StepRow struct {
	Workload string `json:"workload"`
	Policy   string `json:"policy"`
	Empty    Stat   `json:"queue_empty_ms"` // from the first request until nobody waited
	Started  Stat   `json:"started"`        // instances until then
	Peak     Stat   `json:"peak"`           // instances that the requests in flight needed at most until then, if nobody waits
}

// Steps are n requests at once, and rates that begin at once.
func Steps() []workload.Generator {
	usual := workload.Lognormal(800*time.Millisecond, 0.6)
	return []workload.Generator{
		workload.Crowd("100 at once", 100, usual),
		workload.Crowd("1000 at once", 1000, usual),
		workload.Step("0 to 50/s", 30*second, second, 50, usual),
		workload.Step("0 to 500/s", 30*second, second, 500, usual),
	}
}

// RunSteps compares our policy with a clairvoyant that knows everything from the first request on.
func (p Plan) RunSteps() ([]StepRow, error) {
	blind := baseline.Contender{Name: "clairvoyant from the first request on", Apply: func(s *simulate.Settings, w workload.Workload) {
		s.Pool.Scaling.Policy = baseline.Clairvoyant(w, true)
	}}
	ours := baseline.Contenders()[0]
	var rows []StepRow
	for _, g := range Steps() {
		for _, policy := range []baseline.Contender{ours, blind} {
			row, err := p.runStep(g, policy)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (p Plan) runStep(g workload.Generator, policy baseline.Contender) (StepRow, error) {
	var empty, started, peak []float64
	for k := range p.Seeds {
		seed := p.FirstSeed + uint64(k)
		load := g.Make(seed)
		r, err := p.One(load, policy, seed, 0)
		if err != nil {
			return StepRow{}, err
		}
		empty = append(empty, millis(r.QueueEmpty))
		started = append(started, float64(r.Emptied))
		peak = append(peak, float64(needed(load, r.QueueEmpty, p.Concurrency)))
	}
	return StepRow{g.Name, policy.Name, stat(empty), stat(started), stat(peak)}, nil
}

// needed returns the most instances that the requests in flight fill, up to d after the first one came.
func needed(load workload.Workload, d time.Duration, concurrency int) int {
	most := 0
	for _, l := range load.Levels() {
		if l.From > load.Requests[0].At+d {
			break
		}
		most = max(most, l.InFlight)
	}
	return (most + concurrency - 1) / concurrency
}
