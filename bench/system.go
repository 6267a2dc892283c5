package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/load"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load/procstat"
)

// Roles of processes.
const (
	roleEnvoy   = "envoy"
	roleControl = "controlplane" // and relay
	roleApps    = "apps"
)

// A system is a running way from a listener to the apps.
type system struct {
	name  string
	front string // host:port
	pids  map[string][]int
}

// A sample is what one round of load saw and cost.
type sample struct {
	load.Result
	CPU map[string]time.Duration `json:"cpu_ns"` // by role, of all its processes
}

func (s *system) url(path string) string { return "http://" + s.front + path }

// measure runs one round of load, and reads what it cost each role. A failed request is an error, because it does not cost what an answer
// does.
func (s *system) measure(ctx context.Context, opts load.Options) (sample, error) {
	before, err := s.usage()
	if err != nil {
		return sample{}, err
	}
	opts.URL = s.url("/app")
	result, err := load.Run(ctx, opts)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", s.name, err)
	}
	if n := result.Errors(); n > 0 {
		return sample{}, fmt.Errorf("%s: %d of %d requests failed: %v %v", s.name, n, result.Requests, result.Statuses, result.Failures)
	}
	after, err := s.usage()
	if err != nil {
		return sample{}, err
	}
	cpu := make(map[string]time.Duration, len(after))
	for role, u := range after {
		cpu[role] = u.CPU - before[role].CPU
	}
	return sample{result, cpu}, nil
}

func (s *system) usage() (map[string]procstat.Usage, error) {
	all := make(map[string]procstat.Usage, len(s.pids))
	for role, pids := range s.pids {
		u, err := procstat.ReadAll(pids...)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.name, role, err)
		}
		all[role] = u
	}
	return all, nil
}

// rounds measures the systems in turn, repeatedly, so that other work of the machine affects all alike. The samples are in the order of the
// systems.
func rounds(ctx context.Context, systems []*system, n int, opts load.Options) ([][]sample, error) {
	all := make([][]sample, len(systems))
	for round := range n {
		for turn := range systems {
			at := (turn + round) % len(systems) // so that no system always follows the same one
			s, err := systems[at].measure(ctx, opts)
			if err != nil {
				return nil, err
			}
			all[at] = append(all[at], s)
		}
	}
	return all, nil
}

func sum(cpu map[string]time.Duration) (total time.Duration) {
	for d := range maps.Values(cpu) {
		total += d
	}
	return total
}

// median of an odd or even number of values; 0 of none.
func median[T ~int64 | ~float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
