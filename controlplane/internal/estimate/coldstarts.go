package estimate

import (
	"math"
	"time"
)

// What is assumed of environments. AWS promises neither value.
const (
	keepIdle = 10 * time.Minute // how long a frozen environment lasts
	lifetime = 2 * time.Hour    // "every few hours" Lambda ends an environment, used or not
)

// coldStarts returns how many environments a month are made for the profile. Each serves up to slots requests at once.
//
// The k-th environment is needed by requests that find k-1 environments full. The number of requests in flight is Poisson distributed, so
// the rate of these requests is known. One of them finds the k-th environment gone if none came for as long as a frozen environment
// lasts. Besides, each environment is replaced at the end of its life.
func coldStarts(p Profile, latency time.Duration, slots int) float64 {
	total := 0.0
	needed := make([]float64, len(p.Rates))
	for k, stride := 0, 1; ; k += stride {
		sum := 0.0
		for j, rate := range p.Rates {
			needed[j] = rate * atLeast(rate*latency.Seconds(), k*slots)
			sum += needed[j]
		}
		total += float64(stride) * p.made(needed)
		if k > 0 && sum*float64(stride) < p.Mean()*float64(len(p.Rates))*1e-6 {
			return total * month / p.Period().Seconds()
		}
		stride = 1 + k/20 // neighbours are alike
	}
}

// made returns how often in a period an environment is made that is needed at these rates.
func (p Profile) made(needed []float64) float64 {
	step, n, lasts := p.Step.Seconds(), len(needed), keepIdle.Seconds()
	back, span := max(1, int(lasts/step)), min(step, lasts)
	window := 0.0 // requests within the time that a frozen environment lasts
	for j := range back {
		window += needed[n-1-j%n] * span
	}
	total := 0.0
	for j, rate := range needed {
		leaves := needed[((j-back)%n+n)%n]
		total += first(rate, rate-leaves, max(0, window), span) + (step-span)*rate*math.Exp(-rate*lasts)
		if rate > 0 {
			total += step * (1 - math.Exp(-max(window, rate*span))) / (lifetime.Seconds() + 1/rate)
		}
		window += (rate - leaves) * span
	}
	return total
}

// first returns the expected number of requests that find no other request in the window before them. The mean number of requests in that
// window is window at first, and grows with time.
func first(rate, growth, window, span float64) float64 {
	if math.Abs(growth*span) < 1e-9 {
		return rate * math.Exp(-window) * span
	}
	return rate * (math.Exp(-window) - math.Exp(-window-growth*span)) / growth
}

// atLeast returns the probability that a Poisson distributed number of that mean is n or more. For large means it takes the normal
// distribution instead.
func atLeast(mean float64, n int) float64 {
	if n <= 0 {
		return 1
	}
	if mean > 40 {
		return math.Erfc((float64(n)-0.5-mean)/math.Sqrt(2*mean)) / 2
	}
	term, below := math.Exp(-mean), 0.0
	for k := 0; k < n && k < 400; k++ {
		below += term
		term *= mean / float64(k+1)
	}
	return max(0, 1-below)
}
