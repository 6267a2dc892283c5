package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

// firstAnswers measures, repeatedly, the time from when a peer is up until a waiting client has read its answer. Envoy holds the client's
// request before the peer exists. The peer is lambdapeer in this process. The clock starts when lambdapeer logs "instance up": its control
// stream has been welcomed and a tunnel stands.
func (t *through) firstAnswers(ctx context.Context, function string, trials int) ([]time.Duration, error) {
	var all []time.Duration
	for range trials {
		took, err := t.firstAnswer(ctx, function)
		if err != nil {
			return nil, fmt.Errorf("first answer: %w", err)
		}
		all = append(all, took)
	}
	return all, nil
}

func (t *through) firstAnswer(ctx context.Context, function string) (time.Duration, error) {
	answered := make(chan answer, 1)
	go func() { answered <- ask(ctx, t.url("/"+function)) }()
	held := func(f functionStatus) bool { return f.QueueDepth == 1 }
	if err := t.await(ctx, function, "the request waits", held); err != nil {
		return 0, err
	}

	var upAt atomic.Pointer[time.Time]
	up := &upHandler{func() {
		at := time.Now()
		upAt.Store(&at)
	}}
	env := t.peerEnv(function)
	peer := &lambdapeer.Peer{
		Handler: http.HandlerFunc(hold), Logger: slog.New(up), Getenv: func(name string) string { return env[name] },
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- peer.Run(serving) }()
	got := <-answered
	stop()
	if err := <-ended; err != nil {
		return 0, err
	}
	if got.err != nil {
		return 0, got.err
	}
	gone := func(f functionStatus) bool { return f.Ready+f.Starting+f.Draining == 0 }
	return got.at.Sub(*upAt.Load()), t.await(ctx, function, "the instance is gone", gone)
}

type answer struct {
	at  time.Time
	err error
}

// ask sends one request on a connection of its own, and notes when the whole answer was read.
func ask(ctx context.Context, url string) answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	at := time.Now()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("answer: %s", resp.Status)
	}
	return answer{at, err}
}
