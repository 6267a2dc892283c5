package suite

import (
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// A Kind is what requests do on an instance.
type Kind struct {
	Name string
	App  simulate.App
}

// Kinds of apps.
func Kinds() []Kind {
	return []Kind{
		{"I/O-bound", simulate.App{}},
		{"mixed, 30 % computing", simulate.App{CPU: 0.3}},
		{"CPU-bound", simulate.App{CPU: 1}},
	}
}

// A ConcurrencyRow compares learned concurrency with fixed settings. Its numbers are requests per second of ten instances with the same p99.
type ConcurrencyRow struct {
	Kind    string
	Fixed   map[int]float64
	Best    int // of Fixed
	Learned Stat
}

// concurrencies are the fixed settings that are compared.
var concurrencies = []int{1, 2, 4, 6, 8, 16, learnedCap}

// The experiment: ten instances that stay, requests of 100 ms on an idle one, exponentially distributed, and a p99 from
// arrival to answer of at most a second, after a minute in which a learner may learn.
const (
	fixedInstances = 10
	learnedCap     = 64
	longestP99     = time.Second
	learning       = 60 * second
	measured       = 20 * second
	mostPerSecond  = 8000
)

// RunConcurrency runs the experiment for each kind of app.
func (p Plan) RunConcurrency() ([]ConcurrencyRow, error) {
	kinds := Kinds()
	n := len(concurrencies) + p.Seeds
	found := make([]float64, len(kinds)*n)
	errs := make([]error, len(found))
	forEach(len(found), func(k int) {
		kind, what := kinds[k/n], k%n
		seed, concurrency, learn := p.FirstSeed, learnedCap, true
		if what < len(concurrencies) {
			concurrency, learn = concurrencies[what], false
		} else {
			seed += uint64(what - len(concurrencies))
		}
		found[k], errs[k] = p.throughput(kind, seed, concurrency, learn)
	})
	rows := make([]ConcurrencyRow, len(kinds))
	for k, kind := range kinds {
		row := ConcurrencyRow{Kind: kind.Name, Fixed: map[int]float64{}, Best: concurrencies[0]}
		for what, c := range concurrencies {
			if row.Fixed[c] = found[k*n+what]; row.Fixed[c] > row.Fixed[row.Best] {
				row.Best = c
			}
		}
		row.Learned = stat(found[k*n+len(concurrencies) : (k+1)*n])
		rows[k] = row
	}
	return rows, errors.Join(errs...)
}

// throughput returns the highest rate with that p99, within 2 %.
func (p Plan) throughput(k Kind, seed uint64, concurrency int, learn bool) (float64, error) {
	low, high := 0.0, float64(mostPerSecond)
	for high-low > 0.02*high {
		rate := (low + high) / 2
		if err := p.before(); err != nil {
			return 0, err
		}
		p99, err := k.p99(rate, seed, concurrency, learn)
		if err != nil {
			return 0, err
		}
		if p99 <= longestP99 {
			low = rate
		} else {
			high = rate
		}
	}
	return low, nil
}

func (k Kind) p99(rate float64, seed uint64, concurrency int, learn bool) (time.Duration, error) {
	s := simulate.Defaults(concurrency, seed)
	s.App = k.App
	s.Pool.Learn = learn
	s.Pool.Scaling.Min, s.Pool.Scaling.Max = fixedInstances, fixedInstances
	s.Pool.QueueTimeout = 2 * (learning + measured)
	s.After = learning
	s.Until = learning + measured
	load := workload.Steady(k.Name, learning+measured, rate, workload.Exponential(100*time.Millisecond)).Make(seed)
	r, err := simulate.Run(load, s)
	if err != nil {
		return 0, err
	}
	if float64(len(r.Latency)) < 0.9*rate*measured.Seconds() {
		return time.Hour, nil // most have not even been answered
	}
	return simulate.Quantile(r.Latency, 0.99), nil
}
