// Package arrivals puts an HTTP server under open-loop load: each request is sent at its time, however long the answers to
// the ones before it take. It measures what users would notice, because users do not wait for each other.
package arrivals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Request is a GET of URL.
type Request struct {
	At  time.Duration // since the beginning
	URL string
}

// An Answer is what became of one request.
type Answer struct {
	Late   time.Duration `json:"late_ns"` // from its time until it was sent: the generator's own doing
	Took   time.Duration `json:"took_ns"` // from its time to the last byte of the answer
	Status int           `json:"status"`  // 0: no complete answer
	Error  string        `json:"error,omitempty"`
	By     string        `json:"by,omitempty"` // the environment that answered, if it said so
}

// ServedBy is the header in which an app may say which environment answers.
const ServedBy = "X-Served-By"

// ok tells whether a client would be content.
func (a Answer) ok() bool { return a.Status > 0 && a.Status < http.StatusBadRequest }

// Timeout is how long an answer may take.
const Timeout = 2 * time.Minute

// Run sends the requests, each at its time, and returns their answers in the same order. It blocks until all are in, at
// most Timeout after the last was sent. The error is ctx's.
func Run(ctx context.Context, requests []Request) ([]Answer, error) {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1000}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: Timeout}
	order := make([]int, len(requests))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(requests[a].At, requests[b].At) })
	answers := make([]Answer, len(requests))
	var running sync.WaitGroup
	defer running.Wait()
	began := time.Now()
	for _, n := range order {
		due := began.Add(requests[n].At)
		if err := sleep(ctx, time.Until(due)); err != nil {
			return answers, err
		}
		running.Go(func() { answers[n] = ask(ctx, client, requests[n].URL, due) })
	}
	running.Wait()
	return answers, ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ask(ctx context.Context, client *http.Client, url string, due time.Time) Answer {
	a := Answer{Late: time.Since(due)}
	status, by, err := get(ctx, client, url)
	a.Took = time.Since(due)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	a.Status, a.By = status, by
	return a
}

func get(ctx context.Context, client *http.Client, url string) (status int, by string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get(ServedBy), err
}

// Check is an error if there was no request, or any failed: what such a run cost, and how long it took, means nothing.
func Check(answers []Answer) error {
	if len(answers) == 0 {
		return errors.New("no request came")
	}
	failed := 0
	var first Answer
	for _, a := range answers {
		if a.ok() {
			continue
		}
		if failed == 0 {
			first = a
		}
		failed++
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d requests failed, the first with status %d %s", failed, len(answers), first.Status, first.Error)
}

// Latency is how long answers took, from the time at which their requests were due.
type Latency struct {
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// LatencyOf sums answers up. There must be at least one.
func LatencyOf(answers []Answer) Latency {
	all := make([]time.Duration, len(answers))
	for n, a := range answers {
		all[n] = a.Took
	}
	slices.Sort(all)
	return Latency{P50: Quantile(all, 0.5), P95: Quantile(all, 0.95), P99: Quantile(all, 0.99), Max: all[len(all)-1]}
}

// LateOf is by how much 99 of 100 requests were sent late, at most: a generator that is not ahead of its server measures
// itself.
func LateOf(answers []Answer) time.Duration {
	all := make([]time.Duration, len(answers))
	for n, a := range answers {
		all[n] = a.Late
	}
	slices.Sort(all)
	return Quantile(all, 0.99)
}

// Quantile of sorted values: the smallest that at least the share q of them does not exceed.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
