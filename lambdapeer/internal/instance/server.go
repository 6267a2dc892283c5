package instance

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/slots"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/tunnel"
)

const (
	// maxHeader is above what Envoy lets through, so that Envoy's limit is the one that clients meet.
	maxHeader = 1 << 20
	// Receive windows: enough for several GB/s next door and 25 MB/s at 20 ms, and eight stalled uploads on one tunnel
	// before they stall the others. They bound what an unread upload costs. net/http allows less than 4 MiB.
	streamWindow = 512 << 10
	connWindow   = 4<<20 - 1
	// slotWait is how long a request above the cap may wait for a cancelled one to unwind.
	slotWait = time.Second
	// leastGoAway and mostGoAway bound how long the other end may take to close tunnels that were told to go away. Envoy
	// does at once, unless a slow client has yet to take the end of an answer.
	leastGoAway = 250 * time.Millisecond
	mostGoAway  = 2 * time.Second
	// unwind is how long handlers may take to return after their requests were cut.
	unwind = 250 * time.Millisecond
)

// A server answers the requests of all tunnels of one instance.
type server struct {
	gate    *slots.Gate
	http    *http.Server
	tunnels *queue
	cut     context.CancelFunc // ends every request's context
	served  chan struct{}      // closed when Serve has returned
}

func newServer(c Config) *server {
	ctx, cut := context.WithCancel(context.Background())
	s := &server{
		gate:    slots.New(c.Invocation.Concurrency, slotWait),
		tunnels: newQueue(),
		cut:     cut,
		served:  make(chan struct{}),
	}
	ctx = NewContext(ctx, Info{Environment: c.Environment, Gate: s.gate})
	s.http = newHTTPServer(s.gate.Wrap(c.Handler), c.Logger)
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	s.http.HTTP2.MaxConcurrentStreams = max(256, 2*c.Invocation.Concurrency) // the gate refuses with a header; HTTP/2 would stall
	return s
}

// newHTTPServer has no timeouts: Envoy enforces them, and a tunnel may be idle for as long as its instance lives.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		Protocols:                    protocols,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: connWindow,
			MaxReceiveBufferPerStream:     streamWindow,
		},
	}
}

// start serves in the background until close.
func (s *server) start() {
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.tunnels) // always ErrServerClosed: the queue has no other error
	}()
}

// retire tells every tunnel's other end to go away and waits until it has, or about until the given time.
func (s *server) retire(until time.Time) {
	wait := min(max(leastGoAway, time.Until(until)), mostGoAway)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	_ = s.http.Shutdown(ctx) // what is still open then is closed by close
}

// close cuts what is left and waits for the handlers, though not for long: one may ignore its context. It tells how many
// have not returned.
func (s *server) close() (left int) {
	s.cut()
	s.http.Close()
	<-s.served
	timer := time.NewTimer(unwind)
	defer timer.Stop()
	for {
		s.gate.Arm()
		if left = s.gate.InFlight(); left == 0 {
			return 0
		}
		select {
		case <-s.gate.Changed():
		case <-timer.C:
			return left
		}
	}
}

// queue is a listener whose connections are handed in.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newQueue() *queue {
	q := &queue{conns: make(chan net.Conn), closed: make(chan struct{})}
	q.close = sync.OnceFunc(func() { close(q.closed) })
	return q
}

// hand gives conn to the server, or closes it when that has stopped.
func (q *queue) hand(conn *tunnel.Conn) {
	select {
	case q.conns <- conn:
	case <-q.closed:
		conn.Close()
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.closed:
		return nil, io.EOF
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.close()
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return &net.UnixAddr{Name: "tunnels", Net: "tunnel"} }
