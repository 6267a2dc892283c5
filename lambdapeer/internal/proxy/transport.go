package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

const (
	// idle is below the keep-alive timeouts that servers have (Node 5 s, gunicorn 2 s), so that no request meets a
	// connection that the app is about to close.
	idle      = time.Second
	dialLimit = 5 * time.Second
	maxHeader = 1 << 20 // bytes of an answer's header; above it 502
	// Windows of HTTP/2 to the app, in bytes: what one slow client, and all of them, may make the peer buffer.
	streamWindow = 512 << 10
	connWindow   = 16 << 20
)

// transport chooses the protocol to the app, and sends each request once.
type transport struct {
	*http.Transport                 // for most requests
	upgrades        *http.Transport // HTTP/1.1
}

func newTransport(h2c bool) *transport {
	t := &transport{upgrades: newBase(func(conn net.Conn) net.Conn { return &http1Conn{answerConn: answerConn{conn}} })}
	t.Transport = t.upgrades
	if h2c {
		t.Transport = newBase(func(conn net.Conn) net.Conn { return &http2Conn{answerConn: answerConn{conn}} })
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
		t.HTTP2 = &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
		}
	}
	return t
}

// RoundTrip implements http.RoundTripper. The error wraps ErrMalformed if the app answered with something that is not HTTP.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	to := t.Transport
	if r.Header.Get("Upgrade") != "" {
		to = t.upgrades
	}
	var last attempt
	// httputil.ReverseProxy has made this trace for this request. Another one beside it would be joined to it by reflection.
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn = last.begin
	}
	res, err := to.RoundTrip(r)
	if err != nil {
		return nil, last.explain(err)
	}
	return res, nil
}

// An attempt is a request on a connection.
type attempt struct {
	conn  *http1Conn // nil before it has one, and over HTTP/2
	early bool       // the app spoke before it was asked
}

func (a *attempt) begin(info httptrace.GotConnInfo) {
	a.conn, _ = info.Conn.(*http1Conn)
	if a.conn != nil {
		a.conn.due.Store(true)
		a.early = !info.Reused && a.conn.spoke.Load()
	}
}

// explain adds to http.Transport's error what the connection knows.
func (a *attempt) explain(err error) error {
	if a.conn == nil {
		return err
	}
	due, end := a.conn.due.Load(), a.conn.end.Load()
	if due && !a.early {
		end = a.conn.gone.Load()
	}
	if end != nil {
		return fmt.Errorf("the connection ended without an answer: %w", *end)
	}
	if !a.early && (due || broken(err)) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

func (t *transport) CloseIdleConnections() {
	t.Transport.CloseIdleConnections()
	t.upgrades.CloseIdleConnections()
}

// newBase has no proxy, no compression and no limit on connections: the slots limit them.
func newBase(wrap func(net.Conn) net.Conn) *http.Transport {
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: -1}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return wrap(conn), nil
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
