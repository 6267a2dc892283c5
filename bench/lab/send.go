package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// Send replays a workload against a function, by ThroughURL or DirectURL: the app sleeps for each request's service time.
// The answers are in the order of the requests; one that failed is an error.
func Send(ctx context.Context, w simulation.Workload, url func(function, path string) string, function string) ([]arrivals.Answer, error) {
	requests := make([]arrivals.Request, len(w.Requests))
	for n, r := range w.Requests {
		requests[n] = arrivals.Request{At: r.At, URL: url(function, fmt.Sprintf("/sleep?ms=%d", Slept(r).Milliseconds()))}
	}
	answers, err := arrivals.Run(ctx, requests)
	if err == nil {
		err = arrivals.Check(answers)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", function, err)
	}
	return answers, nil
}

// Slept is a request's service time as the app takes it: in whole milliseconds.
func Slept(r simulation.Request) time.Duration { return r.Service.Round(time.Millisecond) }
