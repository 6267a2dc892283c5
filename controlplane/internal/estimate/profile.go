package estimate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// Traffic is when requests come.
type Traffic struct {
	Profile Profile
	// Arrivals are requests with their own times, in order, and how much of the profile they are; nil: they are made from the
	// profile, at random times.
	Arrivals []workload.Request
}

// A Profile is a rate of requests over time that repeats for ever.
type Profile struct {
	Step  time.Duration
	Rates []float64 // requests a second, one for each step
}

// MostRate is the highest rate that is meant.
const MostRate = 1_000_000

// mostSteps bounds a profile: the minutes of 62 days.
const mostSteps = 62 * 24 * 60

func (p Profile) validate() error {
	if p.Step <= 0 || len(p.Rates) == 0 {
		return errors.New("traffic: there is none")
	}
	if len(p.Rates) > mostSteps {
		return fmt.Errorf("traffic: must be at most %d steps, got %d", mostSteps, len(p.Rates))
	}
	for k, rate := range p.Rates {
		if !(rate >= 0 && rate <= MostRate) {
			return fmt.Errorf("traffic: step %d: must be 0 to %s requests/s, got %v", k+1, grouped(MostRate), rate)
		}
	}
	if p.Mean()*month < 1 {
		return errors.New("traffic: less than one request a month")
	}
	return nil
}

// Mean is the mean rate.
func (p Profile) Mean() float64 {
	sum := 0.0
	for _, rate := range p.Rates {
		sum += rate
	}
	return sum / float64(len(p.Rates))
}

// Peak is the highest rate of a step.
func (p Profile) Peak() float64 {
	peak := 0.0
	for _, rate := range p.Rates {
		peak = max(peak, rate)
	}
	return peak
}

// Period is after how long the profile repeats.
func (p Profile) Period() time.Duration { return p.Step * time.Duration(len(p.Rates)) }

// waveSteps is how many steps Wave makes of a period.
const waveSteps = 288

// Wave is a rate with one peak in a period, of which only mean, peak and period are known: a power of a cosine. A peak of twice the
// mean is the usual daily curve, one of ten times the mean is above half of itself for a seventeenth of the period. An error names what is wrong, by the
// names of the command's flags.
func Wave(mean, peakToMean float64, period time.Duration) (Profile, error) {
	switch {
	case !(mean > 0 && mean <= MostRate):
		return Profile{}, fmt.Errorf("--rate: must be more than 0 and at most %s requests/s, got %v", grouped(MostRate), mean)
	case mean*month < 1:
		return Profile{}, fmt.Errorf("--rate: must be at least one request a month, %.2g requests/s, got %v", 1.0/month, mean)
	case !(peakToMean >= 1 && peakToMean <= 1000):
		return Profile{}, fmt.Errorf("--peak: must be 1 to 1000 times the mean, got %v", peakToMean)
	case mean*peakToMean > MostRate:
		return Profile{}, fmt.Errorf("--peak: times --rate must be at most %s requests/s, got %s", grouped(MostRate), grouped(int64(mean*peakToMean)))
	case period < time.Minute || period > 31*24*time.Hour:
		return Profile{}, fmt.Errorf("--period: must be between 1m and 744h, got %s", period)
	}
	p := Profile{Step: period / waveSteps, Rates: make([]float64, waveSteps)}
	power := exponent(peakToMean)
	for k := range p.Rates {
		p.Rates[k] = math.Pow((1-math.Cos(2*math.Pi*(float64(k)+0.5)/waveSteps))/2, power)
	}
	scale := mean / p.Mean()
	for k := range p.Rates {
		p.Rates[k] *= scale
	}
	return p, nil
}

// exponent is the power of a raised cosine whose peak is so many times its mean.
func exponent(peakToMean float64) float64 {
	low, high := 0.0, 1e7
	for range 200 {
		middle := (low + high) / 2
		if peakOverMean(middle) < peakToMean {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

func peakOverMean(power float64) float64 {
	a, _ := math.Lgamma(power + 1)
	b, _ := math.Lgamma(power + 0.5)
	return math.Sqrt(math.Pi) * math.Exp(a-b)
}

// follow is the most that is asked for in each step, from so long before it until so long after: what somebody has to hold ready who adds
// capacity that much ahead of need and takes it away that much after it.
func (p Profile) follow(ahead, behind time.Duration) []float64 {
	out := make([]float64, len(p.Rates))
	before, after := p.steps(behind), p.steps(ahead)
	if before+after >= len(p.Rates) {
		before, after = 0, len(p.Rates)-1
	}
	for k := range out {
		for j := k - before; j <= k+after; j++ {
			out[k] = max(out[k], p.Rates[(j+len(p.Rates))%len(p.Rates)])
		}
	}
	return out
}

// steps is how many steps a time takes, the one that has begun included.
func (p Profile) steps(d time.Duration) int { return int((d + p.Step - 1) / p.Step) }
