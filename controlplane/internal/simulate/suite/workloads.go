// Package suite runs policies on workloads with several seeds, and sums up the results.
package suite

import (
	"fmt"
	"math/rand/v2"
	"slices"
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

// Everyday are workloads of other kinds, whose requests are short: the web's, functions that are hardly used, crowds.
func Everyday() []workload.Generator {
	web := workload.Lognormal(35*time.Millisecond, 1) // 99 % below 360 ms
	short := workload.Fixed(50 * time.Millisecond)
	return []workload.Generator{
		workload.Diurnal("web", 20*minute, 20*minute, 10, 200, web),
		workload.Steady("web-small", 20*minute, 5, web),
		workload.Every("lone-minute", 60*minute, minute, 1, 0, short),
		workload.Steady("seldom", 120*minute, 1.0/120, web),
		workload.Every("crowd", 10*minute, 30*second, 100, 5*time.Millisecond, short),
		workload.Every("crowd-100ms", 10*minute, 30*second, 100, 100*time.Millisecond, short),
		workload.Every("crowd-5000", 8*minute, minute, 5000, 200*time.Millisecond, workload.Fixed(200*time.Millisecond)),
		workload.Beside("beat-3s", workload.Every("", 12*minute, 3*second, 60, 20*time.Millisecond, workload.Fixed(400*time.Millisecond)), workload.Steady("", 12*minute, 2, short)),
		workload.Beside("beat-60s", workload.Every("", 20*minute, minute, 400, 200*time.Millisecond, workload.Fixed(200*time.Millisecond)), workload.Steady("", 20*minute, 2, short)),
		workload.Beside("streams", workload.Pulses("", 15*minute, minute, 5*second, 10, 400, workload.Fixed(100*time.Millisecond)),
			workload.Streams(workload.Steady("", 15*minute, 0.1, uniform(minute, 5*minute)))),
	}
}

func uniform(least, most time.Duration) workload.Service {
	return func(r *rand.Rand) time.Duration { return least + time.Duration(r.Int64N(int64(most-least))) }
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

// All are the workloads of the suite, without recorded traces.
func All() []workload.Generator { return slices.Concat(Tuned(), Everyday(), HeldOut()) }

// ByName finds a workload of the suite.
func ByName(name string) (workload.Generator, error) {
	for _, g := range All() {
		if g.Name == name {
			return g, nil
		}
	}
	return workload.Generator{}, fmt.Errorf("workload %q: unknown, there are %s", name, strings.Join(Names(), ", "))
}

// Names are those of all workloads of the suite.
func Names() (names []string) {
	for _, g := range All() {
		names = append(names, g.Name)
	}
	return names
}
