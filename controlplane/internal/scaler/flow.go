package scaler

import (
	"math"
	"time"
)

// How fast a Flow forgets: after that time a value counts for a third. Rates follow bursts; service times need more
// values.
const (
	rateMemory    = 50 * time.Millisecond
	serviceMemory = 10 * time.Second
)

// A Flow learns how fast requests come and how long they take, from counts alone: in the long run the requests in flight
// are the rate times the service time (Little's law).
type Flow struct {
	at         time.Time
	arrivals   uint64
	departures uint64
	leased     int

	first, second float64   // arrivals per second, smoothed once and twice
	departed      forgetful // of serviceMemory, as is busy
	busy          forgetful // request-seconds
}

// A forgetful sum decays, and so does the time over which it was taken.
type forgetful struct{ sum, seconds float64 }

func (f *forgetful) pass(d, memory time.Duration) {
	keep := math.Exp(-float64(d) / float64(memory))
	f.sum *= keep
	f.seconds = f.seconds*keep + d.Seconds()
}

// rate is the sum per second. A short beginning counts as a tenth of a second, so that one request is no burst.
func (f *forgetful) rate() float64 { return f.sum / max(f.seconds, 0.1) }

// Observe takes in the state after an event.
func (f *Flow) Observe(now time.Time, s *State) {
	if d := now.Sub(f.at); d > 0 && !f.at.IsZero() {
		keep := math.Exp(-float64(d) / float64(rateMemory))
		f.second = f.second*keep + f.first*keep*float64(d)/float64(rateMemory)
		f.first *= keep
		f.departed.pass(d, serviceMemory)
		f.busy.pass(d, serviceMemory)
		f.busy.sum += float64(f.leased) * d.Seconds()
	}
	f.first += float64(s.Arrivals-f.arrivals) / rateMemory.Seconds()
	f.departed.sum += float64(s.Departures - f.departures)
	f.at, f.arrivals, f.departures, f.leased = now, s.Arrivals, s.Departures, s.Leased
}

// Rate is how many requests come in a second, lately.
func (f *Flow) Rate() float64 { return f.second }

// InFlight is how many requests are in flight in the mean.
func (f *Flow) InFlight() float64 { return f.busy.rate() }

// Service is how long a request takes; 0 while that is not known.
func (f *Flow) Service() time.Duration {
	if f.departed.sum < 1 {
		return 0
	}
	return time.Duration(f.busy.sum / f.departed.sum * float64(time.Second))
}

// Freed is how many of the leased slots will be given back within d.
func (f *Flow) Freed(leased int, d time.Duration) float64 {
	service := f.Service()
	if service == 0 {
		return 0
	}
	return float64(leased) * min(1, float64(d)/float64(service))
}

// Rise is by how much the demand will have grown after d if requests go on coming as fast as lately; 0 if it falls. A
// service time that is not known yet is taken for d.
func (f *Flow) Rise(demand int, d time.Duration) float64 {
	service := f.Service()
	if service == 0 {
		service = max(d, 1)
	}
	d = min(d, 2*rateMemory) // what was seen for a moment says nothing about much more than another
	steady := f.Rate() * service.Seconds()
	return max(0, (steady-float64(demand))*(1-math.Exp(-float64(d)/float64(service))))
}
