package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
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
	task
}

// A task is what a request asks for.
type task struct {
	work time.Duration // of the app
	body int           // bytes of a POST; 0 makes a GET
	kind string        // an Accept or Upgrade header: of a request during which the app says something all the time
}

// Kinds.
const (
	events = "text/event-stream"
	socket = "websocket"
)

// late is how much longer than the app's work the client waited.
func (r *request) late() time.Duration { return r.over.Sub(r.sent) - r.work }

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
		r.task = taskOf(dice)
		if s.Leader {
			r.task = longTaskOf(dice)
		}
		clients.Go(func() { r.run(ctx, client, url) })
	}
	return requests
}

// newClient has one connection for each request. On one that was used before, Go's client sends a request again by itself
// when the connection turns out to be closed, and a request that ran twice would be its doing.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// taskOf draws work of 5 to 500 ms, short as a rule.
func taskOf(dice *rand.Rand) task {
	return task{work: time.Duration(5+min(495, dice.ExpFloat64()*50)) * time.Millisecond, body: bodyOf(dice)}
}

// longTaskOf draws work of 50 to 500 ms, or, for one in ten, events or a WebSocket of 1 to 5 s.
func longTaskOf(dice *rand.Rand) task {
	if n := dice.IntN(20); n < 2 {
		return task{work: time.Second + time.Duration(dice.IntN(4000))*time.Millisecond, kind: []string{events, socket}[n]}
	}
	return task{work: time.Duration(50+dice.IntN(450)) * time.Millisecond, body: bodyOf(dice)}
}

func bodyOf(dice *rand.Rand) int {
	if dice.IntN(5) < 3 {
		return 0
	}
	return 1 + dice.IntN(maxBody)
}

// filling is what bodies are made of: a million of them would not fit into memory.
var filling = bytes.Repeat([]byte("x"), maxBody)

const maxBody = 64 << 10

func (r *request) run(ctx context.Context, client *http.Client, url string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.sent = time.Now()
	defer func() { r.over = time.Now() }()
	out, err := r.ask(ctx, url)
	if err != nil {
		r.failure = err.Error()
		return
	}
	answer, err := client.Do(out)
	if err != nil {
		r.failure = failureOf(err)
		return
	}
	defer answer.Body.Close()
	text, err := r.read(answer)
	r.judge(answer, text, err)
}

// failureOf says why there is no answer.
func failureOf(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no connection"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + patience.String()
	case errors.Is(err, io.EOF):
		return "connection closed"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	default:
		return "no answer"
	}
}

// last is the end of a whole answer.
func (r *request) last() []byte { return fmt.Appendf(nil, "%s %d", r.id, r.body) }

// read reads the answer. Of a WebSocket the last message is its end: the connection may stay for a while.
func (r *request) read(answer *http.Response) (text []byte, err error) {
	body := answer.Body
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return io.ReadAll(body)
	}
	for piece := make([]byte, 1<<10); err == nil && !bytes.HasSuffix(text, r.last()); {
		var n int
		n, err = body.Read(piece)
		text = append(text, piece[:n]...)
	}
	return text, err
}

func (r *request) ask(ctx context.Context, url string) (*http.Request, error) {
	method := http.MethodGet
	if r.body > 0 {
		method = http.MethodPost
	}
	target := fmt.Sprintf("%s?id=%s&ms=%d", url, r.id, r.work.Milliseconds())
	out, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(filling[:r.body]))
	if err != nil {
		return nil, err
	}
	switch r.kind {
	case events:
		out.Header.Set("Accept", events)
	case socket:
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", socket)
		out.Header.Set("Sec-WebSocket-Version", "13")
		out.Header.Set("Sec-WebSocket-Key", "Y2hhb3MgY2hhb3MgY2hhbw==")
	}
	return out, nil
}

// judge tells what came back.
func (r *request) judge(answer *http.Response, text []byte, err error) {
	good := answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusSwitchingProtocols
	switch {
	case good && r.kind != "" && bytes.HasSuffix(text, r.last()):
		r.answered = true // however the connection ended afterwards
	case err != nil || good && r.kind == socket:
		r.failure = "answer broken off"
	case good && bytes.Equal(text, r.last()):
		r.answered = true
	case good:
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
