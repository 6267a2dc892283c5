// Package simulation is the part of the simulator that the benches share with it: the workloads.
package simulation

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// A Workload is requests with their arrival and service times, in the order of arrival.
type Workload = workload.Workload

// A Request arrives At and keeps a slot for Service.
type Request = workload.Request

// Trace is a part of a trace, replayed faster: arrivals and service times are divided by factor. The name is a file's, or
// that of a generated twin of a public trace. The part begins with the first request after from and holds those that arrive within length.
func Trace(name string, from, length time.Duration, factor float64) (Workload, error) {
	w, err := workload.Named(name)
	if err != nil {
		return Workload{}, err
	}
	return w.Part(from, length).Faster(factor), nil
}

// Poisson is requests of one service time that know nothing of each other, perSecond of them on average. The same seed
// gives the same ones.
func Poisson(name string, length time.Duration, perSecond float64, service time.Duration, seed uint64) Workload {
	return workload.Steady(name, length, perSecond, workload.Fixed(service)).Make(seed)
}

// Constant is requests of one service time at equal distances.
func Constant(name string, length time.Duration, perSecond float64, service time.Duration) Workload {
	return workload.Constant(name, length, perSecond, workload.Fixed(service)).Make(0)
}
