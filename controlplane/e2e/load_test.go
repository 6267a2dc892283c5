package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// A result is how one request ended: with an answer that was read to its end, or with an error.
type result struct {
	status      int
	header      http.Header
	body        string
	environment string // that served it
	began       time.Time
	took        time.Duration
	err         error
}

func (r result) String() string {
	if r.err != nil {
		return "error: " + r.err.Error()
	}
	return fmt.Sprintf("%d %.200s", r.status, r.body)
}

// served is whether /hello or /sleep has answered, completely.
func (r result) served() bool {
	return r.err == nil && r.status == http.StatusOK && r.body == "hello\n"
}

// coldWait is how long the request waited for an instance in a new environment. Its function tells that as Server-Timing.
func (r result) coldWait(t *testing.T) time.Duration {
	t.Helper()
	timing := r.header.Get("Server-Timing")
	require.Contains(t, timing, "queue;dur=")
	_, ms, found := strings.Cut(timing, "start;desc=cold;dur=")
	if !found {
		return 0
	}
	wait, err := time.ParseDuration(ms + "ms")
	require.NoError(t, err, timing)
	return wait
}

// failure is the status and cause of a request that was not served, or what else became of it.
func (r result) failure() string {
	var problem struct{ Cause string }
	if r.err != nil || json.Unmarshal([]byte(r.body), &problem) != nil || problem.Cause == "" {
		return r.String()
	}
	return fmt.Sprint(r.status, " ", problem.Cause)
}

// lost is whether the request failed with its instance, in a way that no client takes for an answer.
func (r result) lost() bool {
	if r.status == http.StatusOK {
		return r.err != nil // broken off
	}
	return slices.Contains([]string{
		"502 instance_lost", "503 instance_unreachable", "503 no_instance", appIsDead,
	}, r.failure())
}

// appIsDead is the failure of a request whose peer could not reach its app.
const appIsDead = "502 no_answer"

func fetch(ctx context.Context, client *http.Client, url string) result {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return result{err: err}
	}
	return send(client, request)
}

func send(client *http.Client, request *http.Request) result {
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return result{err: err, began: began, took: time.Since(began)}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return result{
		status: response.StatusCode, header: response.Header, body: string(body),
		environment: environmentID(response.Header.Get(contract.EnvironmentHeader)), began: began, took: time.Since(began), err: err,
	}
}

// A load is clients that each send one request after the other.
type load struct {
	ctx    context.Context
	leave  context.CancelFunc // makes all clients leave, requests or not
	client *http.Client
	url    string
	pause  time.Duration // of a client between two requests

	left    atomic.Int64 // requests to be sent
	sent    atomic.Int64
	clients sync.WaitGroup

	mu      sync.Mutex // guards the field below
	results []result
}

// endless is more requests than any test sends.
const endless = 1 << 40

// startLoad sends n requests for a path from so many clients, and does not wait for them.
func startLoad(t *testing.T, s *controlplanetest.Stack, clients int, n int64, path string) *load {
	l := newLoad(t, s, path)
	l.start(clients, n)
	return l
}

// newLoad sends nothing yet.
func newLoad(t *testing.T, s *controlplanetest.Stack, path string) *load {
	l := &load{client: controlplanetest.Client(t, controlplanetest.HTTP1), url: s.URL(path)}
	l.ctx, l.leave = context.WithCancel(t.Context())
	t.Cleanup(func() { l.stop() }) // of a test that failed before it did
	return l
}

func (l *load) start(clients int, n int64) {
	l.left.Store(n)
	for range clients {
		l.clients.Go(l.run)
	}
}

func (l *load) run() {
	for l.ctx.Err() == nil && l.left.Add(-1) >= 0 {
		l.sent.Add(1)
		l.note(fetch(l.ctx, l.client, l.url))
		time.Sleep(l.pause)
	}
}

func (l *load) note(r result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results = append(l.results, r)
}

// wait returns the results when every request has ended.
func (l *load) wait() []result {
	l.clients.Wait()
	return l.results
}

// stop sends no other request, and returns the results when those on their way have ended.
func (l *load) stop() []result {
	l.left.Store(0)
	return l.wait()
}

// soFar returns the results that are there.
func (l *load) soFar() []result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]result(nil), l.results...)
}

// requireServed fails with the different ways in which requests were not served.
func requireServed(t *testing.T, results []result) {
	t.Helper()
	failures := map[string]int{}
	for _, r := range results {
		if !r.served() {
			failures[r.String()]++
		}
	}
	require.NotEmpty(t, results)
	require.Empty(t, failures, "of %d requests", len(results))
}

// servedBy counts results by environment.
func servedBy(results []result) map[string]int {
	count := map[string]int{}
	for _, r := range results {
		if r.served() {
			count[r.environment]++
		}
	}
	return count
}

// environmentID is the id within a log stream's name, which is what the app calls its environment in Lambda.
func environmentID(name string) string {
	if _, id, found := strings.Cut(name, "]"); found {
		return id
	}
	return name
}

// environmentOf finds an instance in Lambda, by the id of its invocation.
func environmentOf(t *testing.T, s *controlplanetest.Stack, i operator.Instance) lambdalocal.Environment {
	t.Helper()
	for _, e := range s.Lambda.Environments() {
		if e.RequestID == i.RequestID {
			return e
		}
	}
	require.Fail(t, "no environment", "has the request %q of instance %s", i.RequestID, i.ID)
	return lambdalocal.Environment{}
}

// environments are those of one function, by id.
func environments(s *controlplanetest.Stack, function string) map[string]lambdalocal.Environment {
	all := map[string]lambdalocal.Environment{}
	for _, e := range s.Lambda.Environments() {
		if e.Function == function {
			all[e.ID] = e
		}
	}
	return all
}

// eventuallyReady waits until so many instances of the function are ready and none is on the way.
func eventuallyReady(s *controlplanetest.Stack, function string, n int) {
	s.Eventually(fmt.Sprint(n, " ready"), func() error {
		if f := s.Function(function); f.Ready != n || f.Starting+f.Draining+f.Down > 0 {
			return fmt.Errorf("%d ready, %d starting, %d draining, %d down", f.Ready, f.Starting, f.Draining, f.Down)
		}
		return nil
	})
}

// eventuallyFrozen waits until no instance is left and every environment of the function is frozen.
func eventuallyFrozen(s *controlplanetest.Stack, function string) {
	eventuallyReady(s, function, 0)
	s.Eventually("frozen", func() error {
		for id, e := range environments(s, function) {
			if e.State != lambdalocal.StateFrozen {
				return fmt.Errorf("environment %s is %s", id, e.State)
			}
		}
		return nil
	})
}

// startBoth runs the test app twice, as functions named after the two kinds of peer. tune may be nil.
func startBoth(t *testing.T, tune func(*controlplanetest.Function)) *controlplanetest.Stack {
	t.Helper()
	var o controlplanetest.Options
	for _, peer := range controlplanetest.Peers {
		f := controlplanetest.App(t, string(peer), peer)
		if tune != nil {
			tune(&f)
		}
		o.Functions = append(o.Functions, f)
	}
	return controlplanetest.Start(t, o)
}

// forBoth runs a subtest for each function of startBoth.
func forBoth(t *testing.T, s *controlplanetest.Stack, test func(t *testing.T, s *controlplanetest.Stack, name string)) {
	for _, peer := range controlplanetest.Peers {
		t.Run(string(peer), func(t *testing.T) { test(t, s.In(t), string(peer)) })
	}
}
