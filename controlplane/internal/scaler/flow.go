package scaler

import (
	"math"
	"time"
)

// How fast a Flow forgets: after that time a value counts for 1/e. Rates must follow bursts. Service times need more values.
const (
	rateMemory    = 50 * time.Millisecond
	lateMemory    = time.Second
	serviceMemory = 10 * time.Second
)

// evidence is the length of a moment. Only requests in successive moments show a rate. Requests that come all at once are a crowd,
// which says nothing about those to come.
const evidence = 25 * time.Millisecond

// A Flow learns how fast requests come and how long they take, from counts alone: in the long run the requests in flight
// are the rate times the service time (Little's law).
type Flow struct {
	at         time.Time
	arrivals   uint64
	departures uint64
	leased     int

	first, second float64   // arrivals per second, smoothed once and twice
	came          [3]uint64 // arrivals in the two moments before and in this one
	moment        int64     // number of this moment
	arrived       forgetful // arrivals without crowds, by lateMemory
	departed      forgetful // departures, by serviceMemory
	busy          forgetful // request-seconds, by serviceMemory
	ended, work   float64   // departures and request-seconds, which fade only while requests are in flight
	turned        turn
}

// A turn is when a slot was last given back or taken, with the values of ended and work at that time.
type turn struct {
	at          time.Time
	ended, work float64
}

// A forgetful is a sum that decays, together with the time over which it was taken.
type forgetful struct{ sum, seconds float64 }

func (f *forgetful) pass(seconds, keep float64) {
	f.sum *= keep
	f.seconds = f.seconds*keep + seconds
}

// rate is the sum per second. A short beginning counts as a tenth of a second, so that one request is no burst.
func (f *forgetful) rate() float64 { return f.sum / max(f.seconds, 0.1) }

// Observe is called with the state after each event.
func (f *Flow) Observe(now time.Time, s *State) {
	if d := now.Sub(f.at); d > 0 && !f.at.IsZero() {
		keep := math.Exp(-float64(d) / float64(rateMemory))
		f.second = f.second*keep + f.first*keep*float64(d)/float64(rateMemory)
		f.first *= keep
		f.arrived.pass(d.Seconds(), math.Exp(-float64(d)/float64(lateMemory)))
		keep = math.Exp(-float64(d) / float64(serviceMemory))
		f.departed.pass(d.Seconds(), keep)
		f.busy.pass(d.Seconds(), keep)
		f.busy.sum += float64(f.leased) * d.Seconds()
		if f.leased > 0 {
			f.ended *= keep
			f.work = f.work*keep + float64(f.leased)*d.Seconds()
		}
	}
	if s.Departures > f.departures || s.Leased != f.leased {
		f.turned = turn{now, f.ended, f.work}
	}
	f.passTo(now)
	f.came[2] += s.Arrivals - f.arrivals
	f.ended += float64(s.Departures - f.departures)
	f.first += float64(s.Arrivals-f.arrivals) / rateMemory.Seconds()
	f.departed.sum += float64(s.Departures - f.departures)
	f.at, f.arrivals, f.departures, f.leased = now, s.Arrivals, s.Departures, s.Leased
}

// Rate is how many requests lately came in a second.
func (f *Flow) Rate() float64 { return f.second }

// passTo begins the moment of now. Arrivals of the moment that ends count only as far as the one before makes them plausible.
func (f *Flow) passTo(now time.Time) {
	moment := now.UnixNano() / int64(evidence)
	passed := moment - f.moment
	if passed == 0 {
		return
	}
	f.arrived.sum += float64(min(f.came[2], 2*f.came[1]+4))
	f.moment = moment
	switch passed {
	case 1:
		f.came = [3]uint64{f.came[1], f.came[2], 0}
	case 2:
		f.came = [3]uint64{f.came[2], 0, 0}
	default:
		f.came = [3]uint64{}
	}
}

// Evident is the rate as far as the last two moments support it. It is at most the rate at which the arrivals of the quieter one
// would be two standard deviations too few.
func (f *Flow) Evident() float64 {
	came := float64(min(f.came[0], f.came[1]))
	return min(f.second, (came+2*math.Sqrt(came)+1)/evidence.Seconds())
}

// Lately is the rate over lateMemory, without crowds.
func (f *Flow) Lately() float64 { return f.arrived.rate() }

// silence is the number of usual pauses between two ends of requests after which slots are not expected back as usual any more: the
// requests in flight may be of another kind.
const silence = 4

// Quiet is when the present pause will have become so long. It is judged by what was known when the pause began, because the
// requests in flight make the usual pause longer meanwhile.
func (f *Flow) Quiet() time.Time {
	pause := f.turned.work / max(1, f.turned.ended) / max(1, float64(f.leased))
	return f.turned.at.Add(time.Duration(silence * pause * float64(time.Second)))
}

// InFlight is how many requests are in flight in the mean.
func (f *Flow) InFlight() float64 { return f.busy.rate() }

// Service is how long a request takes; 0 while that is not known.
func (f *Flow) Service() time.Duration {
	if f.departed.sum < 1 {
		return 0
	}
	return time.Duration(f.busy.sum / f.departed.sum * float64(time.Second))
}

// Usual is how long a request takes, however long ago requests were last seen. Before one has ended it is a guess:
// assumedService, or twice as long as those in flight have taken so far.
func (f *Flow) Usual() (service time.Duration, known bool) {
	if f.ended < 0.5 {
		return max(assumedService, time.Duration(2*f.work/max(1, float64(f.leased))*float64(time.Second))), false
	}
	// While fewer have ended than are in flight, those in flight count as half done.
	among := f.ended + float64(f.leased)/2*math.Exp(-float64(f.departures)/float64(max(1, f.leased)))
	return time.Duration(f.work / among * float64(time.Second)), true
}

// Freed is how many of the leased slots will be given back within d.
func (f *Flow) Freed(leased int, d time.Duration) float64 {
	service := f.Service()
	if service == 0 {
		return 0
	}
	return float64(leased) * min(1, float64(d)/float64(service))
}

// Rise is by how much the demand will have grown after d if requests keep coming at the present rate; 0 if it falls. It is 0 too
// while the service time is not known, because then a crowd would look like the beginning of far more.
func (f *Flow) Rise(demand int, d time.Duration) float64 {
	service := f.Service()
	if service == 0 {
		return 0
	}
	d = min(d, 2*rateMemory) // what was seen for a moment says nothing about much more than another
	steady := f.Evident() * service.Seconds()
	return max(0, (steady-float64(demand))*(1-math.Exp(-float64(d)/float64(service))))
}
