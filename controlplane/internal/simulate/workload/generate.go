package workload

import (
	"math"
	"math/rand/v2"
	"time"
)

// A Generator makes a workload from a seed.
type Generator struct {
	Name   string
	Smooth bool
	Make   func(seed uint64) Workload
}

// A Service draws the service time of one request.
type Service func(*rand.Rand) time.Duration

// Fixed draws the same time always.
func Fixed(d time.Duration) Service { return func(*rand.Rand) time.Duration { return d } }

// Exponential draws from the exponential distribution of that mean.
func Exponential(mean time.Duration) Service {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
}

// Lognormal draws from the lognormal distribution of that median and that deviation of the logarithm.
func Lognormal(median time.Duration, sigma float64) Service {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
	}
}

// Pareto draws from a distribution with a heavy tail, between least and most: P(longer than t) = (least/t)^alpha.
func Pareto(least, most time.Duration, alpha float64) Service {
	return func(r *rand.Rand) time.Duration {
		return min(most, time.Duration(float64(least)*math.Pow(1-r.Float64(), -1/alpha)))
	}
}

// A rate gives the arrivals per second at a time. They are never above most.
type rate struct {
	most float64
	at   func(time.Duration) float64
}

// poisson draws the arrivals of a Poisson process of that rate, by thinning.
func poisson(r *rand.Rand, length time.Duration, rate rate, service Service) []Request {
	var out []Request
	for at := time.Duration(0); ; {
		at += seconds(r.ExpFloat64() / rate.most)
		if at >= length {
			return out
		}
		if r.Float64()*rate.most < rate.at(at) {
			out = append(out, Request{At: at, Service: service(r)})
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// of returns a generator of a Poisson process. Its rate is drawn once for each seed.
func of(name string, smooth bool, length time.Duration, service Service, draw func(*rand.Rand) rate) Generator {
	return custom(name, smooth, func(r *rand.Rand) []Request { return poisson(r, length, draw(r), service) })
}

func custom(name string, smooth bool, requests func(*rand.Rand) []Request) Generator {
	return Generator{name, smooth, func(seed uint64) Workload {
		r := rand.New(rand.NewPCG(seed, 7))
		return Workload{Name: name, Smooth: smooth, Requests: requests(r)}.finish()
	}}
}

// Steady is a Poisson process of one rate.
func Steady(name string, length time.Duration, perSecond float64, service Service) Generator {
	return of(name, true, length, service, func(*rand.Rand) rate {
		return rate{perSecond, func(time.Duration) float64 { return perSecond }}
	})
}

// Constant has arrivals at equal intervals.
func Constant(name string, length time.Duration, perSecond float64, service Service) Generator {
	return custom(name, true, func(r *rand.Rand) []Request {
		out := make([]Request, int(length.Seconds()*perSecond))
		for k := range out {
			out[k] = Request{At: seconds(float64(k) / perSecond), Service: service(r)}
		}
		return out
	})
}

// Diurnal swings between two rates once a day, however long that day is.
func Diurnal(name string, length, day time.Duration, low, high float64, service Service) Generator {
	return of(name, true, length, service, func(*rand.Rand) rate {
		return rate{high, func(t time.Duration) float64 {
			return low + (high-low)*(1-math.Cos(2*math.Pi*t.Seconds()/day.Seconds()))/2
		}}
	})
}

// Switching is a Markov-modulated Poisson process: each rate in turn holds for an exponential time of that mean.
func Switching(name string, length time.Duration, rates []float64, means []time.Duration, service Service) Generator {
	return custom(name, false, func(r *rand.Rand) []Request {
		var out []Request
		for at, k := time.Duration(0), 0; at < length; k = (k + 1) % len(rates) {
			hold := min(length-at, time.Duration(r.ExpFloat64()*float64(means[k])))
			out = append(out, shifted(poisson(r, hold, flat(rates[k]), service), at)...)
			at += hold
		}
		return out
	})
}

func flat(perSecond float64) rate {
	return rate{max(perSecond, 1e-9), func(time.Duration) float64 { return perSecond }}
}

func shifted(requests []Request, by time.Duration) []Request {
	for k := range requests {
		requests[k].At += by
	}
	return requests
}

// Pulses has the rate base. Once in each period the rate is high, for width. The first pulse comes after half a period.
func Pulses(name string, length, period, width time.Duration, base, high float64, service Service) Generator {
	return of(name, false, length, service, func(*rand.Rand) rate {
		return rate{max(base, high), func(t time.Duration) float64 {
			if (t+period/2)%period < width {
				return high
			}
			return base
		}}
	})
}

// Step has no arrivals up to a time, and one rate from then on.
func Step(name string, length, from time.Duration, perSecond float64, service Service) Generator {
	return of(name, false, length, service, func(*rand.Rand) rate {
		return rate{perSecond, func(t time.Duration) float64 {
			if t < from {
				return 0
			}
			return perSecond
		}}
	})
}

// Ramp has a rate that rises evenly from one value to another, and falls back.
func Ramp(name string, length time.Duration, low, high float64, service Service) Generator {
	return of(name, true, length, service, func(*rand.Rand) rate {
		return rate{high, func(t time.Duration) float64 {
			return high - (high-low)*math.Abs(1-2*t.Seconds()/length.Seconds())
		}}
	})
}

// Clumped is a renewal process with Weibull gaps. With a shape below 1 requests come in clumps with long pauses between them.
func Clumped(name string, length time.Duration, perSecond, shape float64, service Service) Generator {
	scale := 1 / (perSecond * math.Gamma(1+1/shape))
	return custom(name, false, func(r *rand.Rand) []Request {
		var out []Request
		for at := time.Duration(0); ; {
			at += seconds(scale * math.Pow(r.ExpFloat64(), 1/shape))
			if at >= length {
				return out
			}
			out = append(out, Request{At: at, Service: service(r)})
		}
	})
}

// Crowd has n requests at the same moment.
func Crowd(name string, n int, service Service) Generator {
	return custom(name, false, func(r *rand.Rand) []Request {
		out := make([]Request, n)
		for k := range out {
			out[k] = Request{At: time.Second, Service: service(r)}
		}
		return out
	})
}

// Every has n requests within a time, once in each interval, as clocks send them.
func Every(name string, length, pause time.Duration, n int, within time.Duration, service Service) Generator {
	return custom(name, false, func(r *rand.Rand) []Request {
		var out []Request
		for at := time.Duration(0); at < length; at += pause {
			for range n {
				out = append(out, Request{At: at + time.Duration(r.Float64()*float64(within)), Service: service(r)})
			}
		}
		return out
	})
}

// Streams is like the generator that it is given, and marks each request as a stream.
func Streams(g Generator) Generator {
	return Generator{g.Name, g.Smooth, func(seed uint64) Workload {
		w := g.Make(seed)
		for k := range w.Requests {
			w.Requests[k].Stream = true
		}
		return w
	}}
}

// Beside has the requests of all these generators.
func Beside(name string, all ...Generator) Generator {
	return Generator{name, false, func(seed uint64) Workload {
		var out Workload
		for k, g := range all {
			out.Requests = append(out.Requests, g.Make(seed+uint64(k)<<32).Requests...)
		}
		out.Name = name
		return out.finish()
	}}
}
