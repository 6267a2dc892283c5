// Package suite runs policies over workloads and seeds, and sums up what came out.
package suite

import (
	"fmt"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

const (
	second = time.Second
	minute = time.Minute
)

// Tuned are the workloads on which the policy was developed.
func Tuned() []workload.Generator {
	usual := workload.Lognormal(800*time.Millisecond, 0.6) // mean 0.96 s, 95 % between 250 ms and 2.6 s
	return []workload.Generator{
		workload.Constant("constant", 15*minute, 100, usual),
		workload.Steady("poisson", 15*minute, 100, workload.Exponential(second)),
		workload.Diurnal("diurnal", 30*minute, 15*minute, 5, 120, usual),
		workload.Switching("mmpp", 15*minute, []float64{4, 120}, []time.Duration{20 * second, 6 * second}, usual),
		workload.Pulses("on-off", 15*minute, 30*second, 10*second, 0, 100, usual),
		workload.Pulses("spike", 15*minute, 3*minute, 5*second, 20, 300, usual),
		workload.Step("step", 12*minute, 6*minute, 100, usual),
		workload.Steady("heavy-tail", 15*minute, 50, workload.Pareto(200*time.Millisecond, minute, 1.5)),
		workload.Twins()[0],
	}
}

// HeldOut are workloads that the policy was not tuned on.
func HeldOut() []workload.Generator {
	quick := workload.Lognormal(300*time.Millisecond, 0.5)
	slow := workload.Lognormal(3*second, 0.5)
	return []workload.Generator{
		workload.Steady("poisson-slow", 15*minute, 60, slow),
		workload.Diurnal("diurnal-quick", 20*minute, 10*minute, 20, 300, quick),
		workload.Ramp("ramp", 20*minute, 2, 150, workload.Exponential(second)),
		workload.Switching("mmpp-3", 15*minute, []float64{1, 150, 30}, []time.Duration{15 * second, 3 * second, 20 * second}, slow),
		workload.Clumped("weibull", 20*minute, 30, 0.4, workload.Exponential(700*time.Millisecond)),
		workload.Steady("sparse", 60*minute, 0.3, quick),
		workload.Pulses("flash", 15*minute, 4*minute, 20*second, 5, 200, quick),
		workload.Twins()[1],
	}
}

// ByName finds a workload of the suite.
func ByName(name string) (workload.Generator, error) {
	var names []string
	for _, g := range append(Tuned(), HeldOut()...) {
		if g.Name == name {
			return g, nil
		}
		names = append(names, g.Name)
	}
	return workload.Generator{}, fmt.Errorf("workload %q: unknown, there are %s", name, strings.Join(names, ", "))
}
