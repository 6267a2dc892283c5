package workload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A twin is a generator that resembles a public trace, which is not part of the repository. It has about the same rate, bursts and service
// times, and none of the trace's lines. docs/scaling-tables.md says where the traces are.
func twin(name string, requests func(*rand.Rand) []Request) Generator {
	return custom(name+"-twin", false, requests)
}

// Twins returns the generators that stand in for public traces.
func Twins() []Generator {
	return []Generator{twin("azllm_code", codeTwin), twin("azllm_conv", conversationTwin)}
}

// Named returns a twin by its name, made with seed 1, or else reads the trace in that file.
func Named(name string) (Workload, error) {
	var names []string
	for _, g := range Twins() {
		if g.Name == name {
			return g.Make(1), nil
		}
		names = append(names, g.Name)
	}
	w, err := Open(name)
	if os.IsNotExist(err) {
		err = fmt.Errorf("%w; without a file there are %s", err, strings.Join(names, ", "))
	}
	return w, err
}

// Quantiles draws times whose distribution is known by quantiles: ps rise from 0 to 1, and seconds are their times.
// Between them it is log-linear.
func Quantiles(ps, seconds []float64) Service {
	return func(r *rand.Rand) time.Duration { return ofSeconds(quantile(ps, seconds, r.Float64())) }
}

func quantile(ps, values []float64, p float64) float64 {
	k, _ := slices.BinarySearch(ps, p)
	k = min(max(k, 1), len(ps)-1)
	share := (p - ps[k-1]) / (ps[k] - ps[k-1])
	return values[k-1] * math.Pow(values[k]/values[k-1], share)
}

func ofSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// codeTwin has bursts of about ten requests a second, with pauses of seconds to minutes. Requests come one to a few at once, because an
// editor asks for several completions.
func codeTwin(r *rand.Rand) []Request {
	service := Quantiles([]float64{0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1},
		[]float64{0.27, 0.318, 0.348, 0.413, 0.524, 0.762, 1.359, 2.062, 5.237, 16.9, 38})
	burst := Quantiles([]float64{0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 1}, []float64{0.05, 0.1, 2.4, 6.4, 12.8, 22.3, 26.7, 40})
	pause := Quantiles([]float64{0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 1}, []float64{2, 2.2, 2.8, 8.1, 36.4, 78.4, 138.7, 217})
	rate := Lognormal(time.Second, 0.55) // of a burst, in multiples of the usual
	const clump, usual = 1.52, 5.8       // requests in one; clumps a second
	var out []Request
	for at := time.Duration(0); at < 57*time.Minute; at += pause(r) {
		gap := 1 / (usual * rate(r).Seconds())
		for end := at + burst(r); at < end; at += ofSeconds(r.ExpFloat64() * gap) {
			out = append(out, Request{At: at, Service: service(r)})
			for r.Float64() > 1/clump {
				out = append(out, Request{At: at, Service: service(r)})
			}
		}
	}
	return out
}

// conversationTwin is a Poisson process whose rate wanders by a fifth within minutes. Many answers are cut at a length that
// takes 8 to 9 s.
func conversationTwin(r *rand.Rand) []Request {
	service := Quantiles([]float64{0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.9, 0.95, 0.99, 1},
		[]float64{0.31, 0.475, 1.07, 1.26, 1.81, 2.87, 4.17, 8.01, 8.13, 8.74, 9.40, 12.4, 20})
	const step, mean, wander = 5 * time.Second, 5.5, 0.2
	keep := math.Exp(-step.Seconds() / 120)
	var out []Request
	level := r.NormFloat64()
	for at := time.Duration(0); at < 30*time.Minute; at += step {
		level = level*keep + r.NormFloat64()*math.Sqrt(1-keep*keep)
		out = append(out, shifted(poisson(r, step, flat(mean*math.Exp(wander*level)), service), at)...)
	}
	return out
}

// Open reads a trace from a file, whose name without its ending is the workload's.
func Open(path string) (Workload, error) {
	f, err := os.Open(path)
	if err != nil {
		return Workload{}, err
	}
	defer f.Close()
	w, err := Read(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), f)
	if err == nil && len(w.Requests) == 0 {
		err = fmt.Errorf("no requests: nothing follows the line that names the columns")
	}
	if err != nil {
		return Workload{}, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// Recorded returns a generator that gives the same workload for every seed.
func (w Workload) Recorded() Generator {
	return Generator{Name: w.Name, Make: func(uint64) Workload { return w }}
}

// Folder reads every CSV file in a folder. A folder that is not there has none.
func Folder(dir string) ([]Generator, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil {
		return nil, err
	}
	var out []Generator
	for _, path := range paths {
		w, err := Open(path)
		if err != nil {
			return nil, err
		}
		out = append(out, w.Recorded())
	}
	return out, nil
}
