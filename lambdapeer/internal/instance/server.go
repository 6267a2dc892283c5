package instance

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/slots"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// maxHeader is larger than any limit of an Envoy listener, which is at most 8 MiB, so that clients meet Envoy's limit:
	// the answer of net/http is not a problem document.
	maxHeader = 16 << 20
	// Receive windows. They allow several GB/s on a local network and 25 MB/s at 20 ms, and eight stalled uploads on one
	// tunnel before they stall the others. They bound the memory of an unread upload. net/http allows less than 4 MiB.
	streamWindow = 512 << 10
	connWindow   = 4<<20 - 1
	// goAway is how long the other end may take to close an idle tunnel that was told to go away. Envoy does so at once.
	goAway = 100 * time.Millisecond
	// slowEnd is the most that a slow client may take for the end of an answer whose handler has returned.
	slowEnd = 2 * time.Second
	// unwind is how long handlers may take to return after their requests were cut off.
	unwind = 250 * time.Millisecond
)

// A server answers the requests of all tunnels of one instance.
type server struct {
	gate    *slots.Gate
	busy    *busy
	http    *http.Server
	tunnels *queue
	cut     context.CancelFunc // ends every request's context
	served  chan struct{}      // closed when Serve has returned
}

func newServer(c Config) *server {
	ctx, cut := context.WithCancel(context.Background())
	s := &server{
		gate:    slots.New(c.Invocation.Concurrency, mark(c.Invocation)),
		busy:    newBusy(),
		tunnels: newQueue(),
		cut:     cut,
		served:  make(chan struct{}),
	}
	if c.Invocation.Concurrency > 1 {
		s.gate.Watch(c.Watch)
	}
	s.gate.HalfClosed = orElse(c.Invocation.HalfClosed, wire.DefaultHalfClosed)
	ctx = NewContext(ctx, Info{Environment: c.Environment, Gate: s.gate})
	s.http = newHTTPServer(s.gate.Wrap(c.Handler), c.Logger)
	s.http.ConnState = s.busy.note
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	s.http.HTTP2.MaxConcurrentStreams = max(256, 2*c.Invocation.Concurrency) // the gate refuses with a header, but HTTP/2 would stall
	return s
}

// mark is the header value with which a refused request comes back; empty if the control plane does not support that.
func mark(i wire.Invocation) string {
	if !i.Features.Has(wire.FeatureRequeue) {
		return ""
	}
	return wire.RefusedBy(i.Function, i.Instance)
}

// newHTTPServer returns a server without timeouts, because Envoy enforces them, and a tunnel may be idle as long as its instance
// lives.
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

// retire tells the other end of every tunnel to go away, and waits until it has. All handlers have returned by now, but the end
// of an answer may still be on its way to a slow client. retire waits for that until the given time, but at most slowEnd.
func (s *server) retire(until time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), min(max(goAway, time.Until(until)), slowEnd))
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = s.http.Shutdown(ctx) // what is open at the end of ctx is closed by close
	}()
	s.busy.await(ctx)
	timer := time.AfterFunc(goAway, cancel)
	defer timer.Stop()
	<-closed
}

// close cuts off all requests, and waits up to unwind for their handlers, which may ignore their context. It returns how many
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

// NewPlainServer returns a server without tunnels, with the same settings and context values but without a limit of slots. The
// context of every request is a child of ctx, and ends with cut.
func NewPlainServer(ctx context.Context, h http.Handler, environment string, log *slog.Logger) (s *http.Server, cut func()) {
	gate := slots.New(0, "")
	ctx, cancel := context.WithCancel(NewContext(ctx, Info{Environment: environment, Gate: gate}))
	s = newHTTPServer(gate.Wrap(h), log)
	s.MaxHeaderBytes = http.DefaultMaxHeaderBytes // no Envoy is before it
	s.BaseContext = func(net.Listener) context.Context { return ctx }
	return s, cancel
}
