package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/simulation"
)

// longest is how long the app sleeps at most.
const longest = time.Minute

// Send replays a workload against a function, by ThroughURL or DirectURL: the app sleeps for each request's service time.
// The answers are in the order of the requests; one that failed is an error. So is
// one that takes too long for the app, and then none is sent.
func Send(ctx context.Context, w simulation.Workload, url func(function, path string) string, function string) ([]arrivals.Answer, error) {
	requests := make([]arrivals.Request, len(w.Requests))
	for n, r := range w.Requests {
		if Slept(r) > longest {
			return nil, fmt.Errorf("%s: a request takes %s, and the app sleeps for %s at most", function, Slept(r), longest)
		}
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
