package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// patience is how long a client waits for its answer.
const patience = time.Minute

// A request is what one client did, and what it got.
type request struct {
	id         string
	sent, over time.Time
	answered   bool   // the app's answer, whole and its own
	cause      string // of a problem document; empty: none came
	failure    string // in a few words, where there was neither
}

// send sends the requests at random times, and returns when each has ended.
func send(ctx context.Context, url string, s settings, progress io.Writer) []request {
	requests := make([]request, s.Requests)
	dice := rand.New(rand.NewPCG(s.Seed, 2))
	client := newClient()
	var clients sync.WaitGroup
	defer clients.Wait()
	at := time.Now()
	for n := range requests {
		at = at.Add(time.Duration(dice.ExpFloat64() / s.Rate * float64(time.Second)))
		if sleep(ctx, time.Until(at)); ctx.Err() != nil {
			return requests[:n]
		}
		if n > 0 && n%(s.Requests/10+1) == 0 {
			fmt.Fprintf(progress, "%s  %d of %d requests are sent\n", time.Now().Format(time.TimeOnly), n, s.Requests)
		}
		r := &requests[n]
		r.id = fmt.Sprintf("%x-%d", s.Seed, n)
		work, body := workOf(dice)
		clients.Go(func() { r.run(ctx, client, url, work, body) })
	}
	return requests
}

// newClient has one connection for each request. On one that was used before, Go's client sends a request again by itself
// when the connection turns out to be closed, and a request that ran twice would be its doing.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// workOf draws how long the app works, 5 to 500 ms and short as a rule, and what a POST carries; nil makes a GET.
func workOf(dice *rand.Rand) (time.Duration, []byte) {
	work := time.Duration(5+min(495, dice.ExpFloat64()*50)) * time.Millisecond
	if dice.IntN(5) < 3 {
		return work, nil
	}
	return work, bytes.Repeat([]byte("x"), 1+dice.IntN(64<<10))
}

func (r *request) run(ctx context.Context, client *http.Client, url string, work time.Duration, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.sent = time.Now()
	defer func() { r.over = time.Now() }()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	target := fmt.Sprintf("%s?id=%s&ms=%d", url, r.id, work.Milliseconds())
	out, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		r.failure = err.Error()
		return
	}
	answer, err := client.Do(out)
	if err != nil {
		r.failure = "no answer"
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	r.judge(answer, text, err, len(body))
}

// judge tells what came back.
func (r *request) judge(answer *http.Response, text []byte, err error, sent int) {
	switch {
	case err != nil:
		r.failure = "answer broken off"
	case answer.StatusCode == http.StatusOK && string(text) == fmt.Sprintf("%s %d", r.id, sent):
		r.answered = true
	case answer.StatusCode == http.StatusOK:
		r.failure = "wrong answer"
	default:
		var problem struct {
			Cause string `json:"cause"`
		}
		_ = json.Unmarshal(text, &problem) // what is no problem document has no cause
		if r.cause = problem.Cause; r.cause == "" {
			r.failure = fmt.Sprintf("%d without a cause", answer.StatusCode)
		}
	}
}
