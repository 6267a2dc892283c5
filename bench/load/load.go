// Package load measures an HTTP server under closed-loop load. A fixed number of requests is in flight at all times: the next one is
// sent when an answer is complete. The load shares the machine with the server, so it spends little CPU: it serialises the request once,
// parses only what it needs of an answer, and drives each connection by one goroutine.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options say what to send, how hard and for how long. At least one of Requests and Duration must bound the run.
type Options struct {
	URL         string        // http://host:port/path?query; TLS is not spoken
	Method      string        // GET when empty
	Header      http.Header   // added to each request
	Body        []byte        // sent with each request; HTTP/1.1 only
	HTTP2       bool          // HTTP/2 by prior knowledge instead of HTTP/1.1
	Connections int           // 1 when 0
	Streams     int           // requests in flight on each connection, HTTP/2 only; 1 when 0
	Requests    int64         // stop after so many, failed ones included; no bound when 0
	Duration    time.Duration // send nothing new after so long; no bound when 0
	Timeout     time.Duration // a connection that is silent for so long while it owes an answer has failed; 10 s when 0
}

// Run opens the connections, then sends requests until a bound of opts is reached and every answer is in. It returns an
// error only when the options are wrong, the first connections cannot be opened or ctx ends; failed requests are in the
// Result. It blocks until all it started has ended.
func Run(ctx context.Context, opts Options) (Result, error) {
	plan, err := newPlan(opts)
	if err != nil {
		return Result{}, err
	}
	workers, err := plan.connect(ctx)
	if err != nil {
		return Result{}, err
	}

	budget := newBudget(opts.Requests)
	if opts.Duration > 0 {
		defer time.AfterFunc(opts.Duration, budget.stop).Stop()
	}
	defer context.AfterFunc(ctx, budget.stop)()

	began := time.Now()
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(func() { w.run(ctx, budget) })
	}
	running.Wait()

	result := plan.totals.result(time.Since(began))
	return result, ctx.Err()
}

// A plan holds what all workers share.
type plan struct {
	opts    Options
	address string
	request []byte // HTTP/1.1: a whole request; HTTP/2: a header block that needs no dynamic table
	totals  *totals
}

func newPlan(opts Options) (*plan, error) {
	opts = opts.withDefaults()
	target, err := url.Parse(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if err := opts.validate(target); err != nil {
		return nil, err
	}
	p := &plan{opts: opts, address: address(target), totals: newTotals()}
	if opts.HTTP2 {
		p.request = headerBlock(opts, target)
	} else {
		p.request = serialise(opts, target)
	}
	return p, nil
}

func (o Options) withDefaults() Options {
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	o.Connections = max(o.Connections, 1)
	o.Streams = max(o.Streams, 1)
	return o
}

func (o Options) validate(target *url.URL) error {
	switch {
	case target.Scheme != "http" || target.Host == "":
		return fmt.Errorf("url: must be http://host[:port]/path, got %q", o.URL)
	case o.Requests <= 0 && o.Duration <= 0:
		return errors.New("requests, duration: one of them must bound the run")
	case o.HTTP2 && len(o.Body) > 0:
		return errors.New("body: only HTTP/1.1 load carries one")
	case !o.HTTP2 && o.Streams > 1:
		return errors.New("streams: HTTP/1.1 has one request in flight per connection; add connections")
	}
	return nil
}

func address(target *url.URL) string {
	port := target.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(target.Hostname(), port)
}

// connect opens the first connection of each worker before the clock starts. So the run measures requests alone, and a wrong address
// is an error and not a count of failures.
func (p *plan) connect(ctx context.Context) ([]*worker, error) {
	workers := make([]*worker, p.opts.Connections)
	for i := range workers {
		conn, err := p.dial(ctx)
		if err != nil {
			for _, w := range workers[:i] {
				_ = w.conn.Close()
			}
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, p.opts.Connections, err)
		}
		workers[i] = &worker{plan: p, conn: conn, tally: newTally(p.totals)}
	}
	return workers, nil
}

func (p *plan) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: p.opts.Timeout}
	return dialer.DialContext(ctx, "tcp", p.address)
}

// requestURI returns path and query as they were written. Package url would clean them.
func requestURI(opts Options, target *url.URL) string {
	_, rest, _ := strings.Cut(opts.URL, "://")
	rest, _, _ = strings.Cut(rest, "#")
	if i := strings.IndexAny(rest, "/?"); i >= 0 && rest[i] == '/' {
		return rest[i:]
	}
	return target.RequestURI()
}
