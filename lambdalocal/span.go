package lambdalocal

import (
	"math"
	"math/rand/v2"
	"time"
)

// A Span is a distribution of durations: uniform between Min and Max or, if P50 is set, lognormal with the median P50 and the
// 99th percentile P99. In YAML it is one duration, {min, max} or {p50, p99}.
type Span struct {
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
	P50 time.Duration `yaml:"p50"`
	P99 time.Duration `yaml:"p99"`
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// Fixed is the span of one duration.
func Fixed(d time.Duration) Span { return Span{Min: d, Max: d} }

// pick chooses a duration.
func (s Span) pick() time.Duration {
	if s.P50 > 0 {
		return s.lognormal(rand.NormFloat64())
	}
	return s.Min + rand.N(s.Max-s.Min+1)
}

// lognormal is the duration that lies that many standard deviations, of its logarithm, from the median.
func (s Span) lognormal(deviations float64) time.Duration {
	sigma := math.Log(float64(s.P99)/float64(s.P50)) / z99
	return time.Duration(float64(s.P50) * math.Exp(sigma*deviations))
}

func (s Span) validate(m *mistakes, path string) {
	for _, d := range []time.Duration{s.Min, s.P50, s.P99} {
		m.check(d >= 0, path, "must not be negative, got %v", d)
	}
	m.check(s.Max >= s.Min, path, "max must be at least min, got %v and %v", s.Max, s.Min)
	m.check(s.P99 >= s.P50 && (s.P50 > 0) == (s.P99 > 0), path, "p50 and p99 go together, p99 the larger, got %v and %v", s.P50, s.P99)
	m.check(s.P50 == 0 || s.Max == 0, path, "has min and max, or p50 and p99, not both")
}
