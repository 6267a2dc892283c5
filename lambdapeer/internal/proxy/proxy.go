// Package proxy passes a tunnel's requests on to an app's HTTP server on this machine, unchanged.
package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/spelling"
)

const bufferSize = 32 << 10

// A Proxy is an http.Handler in front of one app.
type Proxy struct {
	httputil.ReverseProxy
	address   string
	transport *transport
}

// New returns a Proxy to the app at address, host:port. With h2c it speaks HTTP/2 with prior knowledge to it, and
// HTTP/1.1 for upgrades only.
func New(address string, h2c bool, log *slog.Logger) *Proxy {
	p := &Proxy{address: address, transport: newTransport(h2c)}
	p.ReverseProxy = httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { rewrite(r, address, h2c) },
		Transport:      p.transport,
		ModifyResponse: checkAnswer,
		FlushInterval:  -1,
		BufferPool:     &buffers{},
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandler:   func(w http.ResponseWriter, r *http.Request, err error) { fail(w, r, err, log) },
	}
	return p
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).EnableFullDuplex() // else an early answer ends the upload; HTTP/2 always can
	}
	p.ReverseProxy.ServeHTTP(exactWriter{w}, r)
}

// exactWriter keeps net/http from adding the header fields that the app left out.
type exactWriter struct {
	http.ResponseWriter
}

// WriteHeader implements http.ResponseWriter.
func (w exactWriter) WriteHeader(status int) {
	header := w.Header()
	for _, name := range []string{"Content-Type", "Date"} {
		if _, ok := header[name]; !ok && status >= http.StatusOK {
			header[name] = nil
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what this type has not.
func (w exactWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Get asks the app for path and returns the status. An error says why there is none; it wraps ErrMalformed if what answers does
// not speak HTTP.
func (p *Proxy) Get(ctx context.Context, path string) (status int, err error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{}) // for RoundTrip, which learns its connection by it
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	drain(res.Body)
	return res.StatusCode, res.Body.Close()
}

// drainFor bounds how long the body of an answer is read whose status alone matters.
const drainFor = 50 * time.Millisecond

// drain reads an answer to its end if that comes soon, so that closing it does not reset the app's connection: some servers
// print a whole traceback then.
func drain(body io.ReadCloser) {
	end := time.AfterFunc(drainFor, func() { _ = body.Close() })
	defer end.Stop()
	_, _ = io.Copy(io.Discard, io.LimitReader(body, maxHeader))
}

// EventHeader, with a word as its value, marks what the peer itself POSTs to the app. It is taken out of everybody else's
// requests, so that an app can tell them apart.
const EventHeader = "Lambda-Dispatch-Event"

// Tell POSTs a word about the peer's life to the app at path. The error says what the app did instead of answering with a
// status of success.
func (p *Proxy) Tell(ctx context.Context, path, word string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set(EventHeader, word)
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxHeader))
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the app answered POST %s with %d", path, res.StatusCode)
	}
	return nil
}

// CloseIdle closes the connections that no request uses. Call it before the environment may be frozen: the app's idle
// timeout runs on the same clock.
func (p *Proxy) CloseIdle() { p.transport.CloseIdleConnections() }

// rewrite undoes what httputil does to a request: Envoy has decided about all of it.
func rewrite(r *httputil.ProxyRequest, address string, h2c bool) {
	out := r.Out
	out.URL.Scheme, out.URL.Host = "http", address
	out.URL.RawQuery, out.URL.ForceQuery = r.In.URL.RawQuery, r.In.URL.ForceQuery
	if path, _, _ := strings.Cut(r.In.RequestURI, "?"); exact(path) {
		out.URL.Opaque = path
	}
	out.Host = hostOf(r.In, h2c)
	spelling.Remove(out.Header, EventHeader)
	out.Trailer = r.In.Trailer // the map that is filled when the body has been read
	if out.Body != nil && r.In.ProtoMajor == 2 {
		out.Body = upload{out.Body, r.In.Body}
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := r.In.Header[name]; values != nil {
			out.Header[name] = values
		}
	}
}

const (
	// noHost makes net/http send a Host field without a value, as it does for every invalid host. It would replace an empty
	// host by the app's own address.
	noHost = " "
	// namelessHost is sent instead over HTTP/2, which has no Host field. Envoy uses the same name for HTTP/1.0.
	namelessHost = "localhost"
)

func hostOf(in *http.Request, h2c bool) string {
	switch {
	case in.Host != "":
		return in.Host
	case h2c && in.Header.Get("Upgrade") == "":
		return namelessHost
	}
	return noHost
}

// upload is a request's body whose Close ends a Read that is under way; the body that httputil.ReverseProxy makes does not. An
// app may answer without reading the body, and closing the answer waits for the end of the upload: a client that sends no more
// until it has the whole answer would wait forever. Over HTTP/1.1 such a Close could block; there, uploads are upgrades.
type upload struct {
	io.ReadCloser
	body io.Closer
}

// Close implements io.Closer.
func (u upload) Close() error {
	_ = u.ReadCloser.Close() // has no error
	return u.body.Close()
}

// exact tells whether net/url can send path as it is. It takes an opaque path that begins with // for a host.
func exact(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//")
}

// buffers is the pool of copy buffers.
type buffers struct {
	pool sync.Pool // of *[]byte
}

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
