package load

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// redialPause keeps a server that refuses connections from turning the load into a storm of dials.
const redialPause = 10 * time.Millisecond

// A budget hands out permission to send. It is shared by all workers.
type budget struct {
	bounded bool
	left    atomic.Int64
	stopped atomic.Bool
}

func newBudget(requests int64) *budget {
	b := &budget{bounded: requests > 0}
	b.left.Store(requests)
	return b
}

// take reports whether one more request may be sent.
func (b *budget) take() bool {
	if !b.bounded {
		return !b.stopped.Load()
	}
	for left := b.left.Load(); left > 0 && !b.stopped.Load(); left = b.left.Load() {
		if b.left.CompareAndSwap(left, left-1) {
			return true
		}
	}
	return false
}

// giveBack returns a taken request that the server never saw.
func (b *budget) giveBack() { b.left.Add(1) }

func (b *budget) stop() { b.stopped.Store(true) }

// A worker drives one connection, and replaces it when it fails.
type worker struct {
	plan  *plan
	conn  net.Conn
	tally *tally
}

// run sends until the budget is spent. A cancelled ctx closes the connection under it.
func (w *worker) run(ctx context.Context, b *budget) {
	defer w.tally.flush()
	for w.runConn(ctx, b) {
		for !w.redial(ctx) {
			if !b.take() {
				return
			}
			w.tally.failed("dial")
			time.Sleep(redialPause)
		}
	}
}

// runConn uses one connection up and reports whether another is wanted.
func (w *worker) runConn(ctx context.Context, b *budget) (again bool) {
	conn := w.conn
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer release()
	defer func() { _ = conn.Close() }()
	if w.plan.opts.HTTP2 {
		return newHTTP2Conn(w.plan, conn, w.tally).run(b)
	}
	return newHTTP1Conn(w.plan, conn, w.tally).run(b)
}

func (w *worker) redial(ctx context.Context) bool {
	conn, err := w.plan.dial(ctx)
	if err != nil {
		return false
	}
	w.conn = conn
	return true
}

// class names what went wrong in few words, so that failures can be counted by it.
func class(err error) string {
	var protocol *protocolError
	switch {
	case errors.As(err, &protocol):
		return "protocol: " + protocol.what
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case errors.Is(err, net.ErrClosed):
		return "cancelled"
	default:
		return "other"
	}
}

// A protocolError is an answer that this package cannot read. what must be of low cardinality.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return e.what }
