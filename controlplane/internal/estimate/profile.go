package estimate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// Traffic says when requests come.
type Traffic struct {
	Profile Profile
	// Arrivals are recorded requests, in order. nil: requests are made at random times that follow the profile.
	Arrivals []workload.Request
}

// A Profile is a rate of requests over time, which repeats for ever.
type Profile struct {
	Step  time.Duration
	Rates []float64 // requests a second, one for each step
}

// MostRate is the highest rate that is accepted, in requests a second.
const MostRate = 1_000_000

// mostSteps bounds a profile. It is the minutes of 62 days.
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

// Mean returns the mean rate, in requests a second.
func (p Profile) Mean() float64 {
	sum := 0.0
	for _, rate := range p.Rates {
		sum += rate
	}
	return sum / float64(len(p.Rates))
}

// Peak returns the highest rate of a step, in requests a second.
func (p Profile) Peak() float64 {
	peak := 0.0
	for _, rate := range p.Rates {
		peak = max(peak, rate)
	}
	return peak
}

// Period returns the time after which the profile repeats.
func (p Profile) Period() time.Duration { return p.Step * time.Duration(len(p.Rates)) }

// waveSteps is the number of steps in a period of Wave.
const waveSteps = 288

// Wave returns a rate with one peak in a period, in the form of a power of a raised cosine. mean is in requests a second, and the peak is
// peakToMean times that. With a peak of twice the mean it is the usual daily curve. With ten times the mean the rate is above half of the
// peak for a seventeenth of the period. An error names what is wrong by the names of the command's flags.
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

// exponent returns the power of the raised cosine whose peak is peakToMean times its mean.
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

// follow returns for each step the rate that capacity must be held ready for, if it is added that long ahead of need and removed that long
// behind it.
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

// steps returns how many steps a time takes, rounded up.
func (p Profile) steps(d time.Duration) int { return int((d + p.Step - 1) / p.Step) }
