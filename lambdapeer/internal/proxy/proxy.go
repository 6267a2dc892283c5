// Package proxy passes a tunnel's requests on to an app's HTTP server on this machine, unchanged.
package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/problem"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// idle is below the keep-alive timeouts that servers have (Node 5 s, gunicorn 2 s), so that no request meets a
	// connection that the app is about to close.
	idle       = time.Second
	dialLimit  = 5 * time.Second
	maxHeader  = 1 << 20 // of an answer; above it 502
	bufferSize = 32 << 10
	// Windows of HTTP/2 to the app: what one slow client, and all of them, may make the peer hold.
	streamWindow = 512 << 10
	connWindow   = 16 << 20
)

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
		Rewrite:   func(r *httputil.ProxyRequest) { rewrite(r, address) },
		Transport: p.transport,
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del(wire.RefusedHeader) // in an upgrade's 101 too, which the gate does not see
			return nil
		},
		FlushInterval: -1,
		BufferPool:    &buffers{},
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandler:  func(w http.ResponseWriter, r *http.Request, err error) { fail(w, r, err, log) },
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

// exactWriter keeps net/http from adding what the app left out.
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

// Get asks the app for path and returns the status. An error says why there is none.
func (p *Proxy) Get(ctx context.Context, path string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := p.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
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
func rewrite(r *httputil.ProxyRequest, address string) {
	out := r.Out
	out.URL.Scheme, out.URL.Host = "http", address
	out.URL.RawQuery, out.URL.ForceQuery = r.In.URL.RawQuery, r.In.URL.ForceQuery
	if path, _, _ := strings.Cut(r.In.RequestURI, "?"); exact(path) {
		out.URL.Opaque = path
	}
	out.Host = r.In.Host
	out.Header.Del(EventHeader)
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

// upload is a request's body whose Close ends a Read that is under way, which that of httputil.ReverseProxy does not. An app
// may answer without reading the body, and closing the answer waits for the end of the upload: a client that sends no more
// until it has the whole answer would wait forever. Over HTTP/1.1 a Close could block; uploads there are upgrades.
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

// fail answers for an app that did not. A client that has left gets none: its request is aborted.
func fail(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	log.Warn("app did not answer", "error", err)
	problem.NoAnswer.Write(w)
}

// transport chooses the protocol to the app.
type transport struct {
	*http.Transport                 // for most requests
	upgrades        *http.Transport // HTTP/1.1
}

func newTransport(h2c bool) *transport {
	t := &transport{upgrades: newBase()}
	t.Transport = t.upgrades
	if h2c {
		t.Transport = newBase()
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
		t.HTTP2 = &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
		}
	}
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") != "" {
		return t.upgrades.RoundTrip(r)
	}
	return t.Transport.RoundTrip(r)
}

func (t *transport) CloseIdleConnections() {
	t.Transport.CloseIdleConnections()
	t.upgrades.CloseIdleConnections()
}

// newBase has no proxy, no compression and no limit on connections: the slots limit them.
func newBase() *http.Transport {
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: -1}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &answerConn{Conn: conn}, nil
		},
		DisableCompression:     true,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    1 << 20,
		IdleConnTimeout:        idle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        bufferSize,
	}
}

// answerConn lets the app's answer decide how a request went. An app that answers early (413, say) and closes makes the
// rest of the upload fail, and http.Transport would report that failure although the answer is there to be read. So a
// failed write counts as done; reading then finds the answer, or the end of the connection.
type answerConn struct {
	net.Conn
}

// Write implements net.Conn.
func (c *answerConn) Write(p []byte) (int, error) {
	_, _ = c.Conn.Write(p)
	return len(p), nil
}

// CloseWrite lets an upgraded connection be half closed.
func (c *answerConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
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
