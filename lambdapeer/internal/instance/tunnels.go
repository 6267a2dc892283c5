package instance

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/tunnel"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// tunnels are the tunnels of one relay that are in service. The zero value is empty.
type tunnels struct {
	mu   sync.Mutex // guards the field below
	open map[*tunnel.Conn]struct{}
}

func (t *tunnels) add(conn *tunnel.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*tunnel.Conn]struct{}{}
	}
	t.open[conn] = struct{}{}
	conn.OnClose(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, conn)
	})
}

func (t *tunnels) all() []*tunnel.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.open))
}

// proof is how long a tunnel that is older than its control stream may leave data, or a keepalive probe, unacknowledged. The
// kernel counts from the last byte that it heard, so proof is longer than any silence that a relay tolerates.
const proof = 7 * time.Second

// doubt checks all tunnels after a relay was lost and has come back, because some of them may be dead.
func (t *tunnels) doubt() {
	for _, conn := range t.all() {
		conn.Doubt(proof)
	}
}

func (t *tunnels) closeAll() {
	for _, conn := range t.all() {
		conn.Close()
	}
}

// busy knows which tunnels have a request whose answer is not completely written.
type busy struct {
	none chan struct{} // signals when the last one has become idle

	mu    sync.Mutex // guards the field below
	conns map[net.Conn]struct{}
}

func newBusy() *busy {
	return &busy{none: make(chan struct{}, 1), conns: map[net.Conn]struct{}{}}
}

// note is the server's ConnState hook. For HTTP/2 a connection is active while a stream is open.
func (b *busy) note(conn net.Conn, state http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state == http.StateActive {
		b.conns[conn] = struct{}{}
		return
	}
	delete(b.conns, conn)
	if len(b.conns) > 0 {
		return
	}
	select {
	case b.none <- struct{}{}:
	default:
	}
}

// await blocks until no tunnel is busy, or ctx ends.
func (b *busy) await(ctx context.Context) {
	for !b.idle() {
		select {
		case <-b.none:
		case <-ctx.Done():
			return
		}
	}
}

func (b *busy) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns) == 0
}

// queue is a listener whose connections are passed to hand.
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

// hand passes conn to the server. If that has stopped, requests on conn can go elsewhere.
func (q *queue) hand(conn *tunnel.Conn) {
	select {
	case q.conns <- conn:
	case <-q.closed:
		wire.EndUnserved(conn, goAway)
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
