package instance

import (
	"context"
	"log/slog"
	"net"
	"net/http"
)

// Exchange lets h answer one request that did not come through a tunnel, on a server like that of tunnels, and passes the answer to
// read. The handler's context is a child of ctx. After the answer Exchange waits up to unwind for the handler to return.
func Exchange(
	ctx context.Context, h http.Handler, environment string, log *slog.Logger, r *http.Request, read func(*http.Response) error,
) error {
	server, cut := NewPlainServer(ctx, h, environment, log)
	conns := newQueue()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(conns)
	}()
	near, far := net.Pipe()
	conns.conns <- &clientConn{far, r.RemoteAddr}
	transport := &http.Transport{
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil },
	}
	defer func() {
		cut()
		transport.CloseIdleConnections()
		server.Close()
		<-served
	}()
	res, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := read(res); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // what a handler writes because its context has ended does not count as its answer
	}
	unwinding, cancel := context.WithTimeout(ctx, unwind)
	defer cancel()
	_ = server.Shutdown(unwinding) // a handler that has not returned is cut off
	return nil
}

// clientConn is a connection whose remote address is that of the client.
type clientConn struct {
	net.Conn
	client string
}

// RemoteAddr implements net.Conn.
func (c *clientConn) RemoteAddr() net.Addr { return clientAddr(c.client) }

type clientAddr string

func (clientAddr) Network() string  { return "event" }
func (a clientAddr) String() string { return string(a) }
