package estimate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// Served is the simulator's result for the service behind Lambda Dispatch, in means of one request.
type Served struct {
	Seconds     float64 // of an instance, without inits
	Invocations float64
	Slower      float64 // how many times as long the median answer takes as that of a request alone on an instance
	Cut         float64 // share of the requests that were cut off, because they outlasted the invocation that served them
	Requests    int     // how many were simulated
}

// Bounds of a simulation. They give two digits, and take a second or two.
const (
	fewRequests  = 2_000
	mostRequests = 15_000
	mostPeriods  = 60
	shortest     = 2 * time.Minute
	spread       = 0.5                    // of the logarithm of latencies: an assumption
	simulated    = 500 * time.Millisecond // of an init, at most; inits are counted apart
	seed         = 1
)

// Shares of requests that are cut off: above the first a reader is told, above the second there is no estimate.
const (
	noticed  = 0.001
	hopeless = 0.1
)

// outlast is what is said of such requests.
const outlast = "would be cut off: they last longer than the invocation that serves them, which ends after 15 minutes"

// serve simulates the service behind Lambda Dispatch.
func serve(s Service, prices price.Set) (Served, error) {
	load := s.load()
	settings := s.settings(prices)
	settings.Sized(load)
	settings.Priced()
	result, err := simulate.Run(load, settings)
	if err != nil {
		return Served{}, err
	}
	n := float64(len(load.Requests))
	cut := float64(result.Failed) / n
	if cut > hopeless {
		return Served{}, fmt.Errorf("%.0f %% of the requests %s", 100*cut, outlast)
	}
	if lost := float64(result.Lost()-result.Failed) / n; lost > noticed {
		return Served{}, fmt.Errorf("the simulation lost %.2g %% of the requests", 100*lost)
	}
	inits := float64(result.ColdStarts) * settings.Lambda.Preset.Init.Median.Seconds()
	alone := load.Work().Seconds() / n * math.Exp(-spread*spread/2) // the median
	if s.Traffic.Arrivals != nil {
		alone = median(load)
	}
	return Served{
		Seconds:     (result.Bill.Billed.Seconds() - inits) / n,
		Invocations: float64(result.Invoked) / n,
		Slower:      max(1, simulate.Quantile(result.Latency, 0.5).Seconds()/max(alone, 0.001)),
		Cut:         cut,
		Requests:    len(load.Requests),
	}, nil
}

func (s Service) settings(prices price.Set) simulate.Settings {
	out := simulate.Defaults(s.Slots(), seed)
	out.App = simulate.App{CPU: s.CPU, Cores: max(1, s.cores())}
	out.Pool.QueueTimeout = time.Hour // the longest that can be configured: nobody gives up
	out.Lambda.MemoryMB = s.MemoryMB
	out.Lambda.Preset.Init = lambda.Spread{Median: min(s.Init, simulated)}
	out.Lambda.Prices = lambda.Prices{
		GBSecond:   prices.Of(price.LambdaSeconds + s.architecture()),
		Invocation: prices.Of(price.LambdaRequests) / 1e6,
	}
	return out
}

// load returns the requests to simulate: the recorded ones, or else random ones that follow the profile. If the profile has more requests
// than can be simulated it is passed through faster, and if that would be over too soon, with fewer requests.
func (s Service) load() workload.Workload {
	if s.Traffic.Arrivals != nil {
		return workload.Of("recorded", s.Traffic.Arrivals)
	}
	p := s.Traffic.Profile
	period, mean := p.Period().Seconds(), p.Mean()
	periods := min(mostPeriods, max(1, math.Ceil(fewRequests/(mean*period))))
	length := max(shortest.Seconds(), 20*s.Latency.Seconds(), min(period, mostRequests/mean))
	rate := min(1, mostRequests/(mean*min(length, period)))
	return workload.Of("made", s.requests(min(1, length/period), rate, int(periods)))
}

// requests returns requests at random times that follow the profile. pace is the share of its time that a period takes, rate the share of
// its rate that is drawn.
func (s Service) requests(pace, rate float64, periods int) []workload.Request {
	r := rand.New(rand.NewPCG(seed, 7))
	draw := workload.Lognormal(time.Duration(s.Latency.Seconds()*math.Exp(-spread*spread/2)*float64(time.Second)), spread)
	p := s.Traffic.Profile
	step := p.Step.Seconds() * pace
	var out []workload.Request
	for k := range periods * len(p.Rates) {
		perSecond := p.Rates[k%len(p.Rates)] * rate
		for at := exponential(r, perSecond); at < step; at += exponential(r, perSecond) {
			out = append(out, workload.Request{At: time.Duration((float64(k)*step + at) * float64(time.Second)), Service: draw(r)})
		}
	}
	if len(out) == 0 { // chance has drawn none of the few that there are
		out = append(out, workload.Request{Service: s.Latency})
	}
	return out
}

// exponential draws the pause, in seconds, between two requests of a Poisson process.
func exponential(r *rand.Rand, perSecond float64) float64 {
	if perSecond <= 0 {
		return math.Inf(1)
	}
	return r.ExpFloat64() / perSecond
}

func median(load workload.Workload) float64 {
	var all []time.Duration
	for _, request := range load.Requests {
		all = append(all, request.Service)
	}
	return simulate.Quantile(sorted(all), 0.5).Seconds()
}
