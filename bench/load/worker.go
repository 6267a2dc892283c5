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

// redialPause is the time between two dials, so that a server that refuses connections is not flooded with them.
const redialPause = 10 * time.Millisecond

// A budget counts the requests that may still be sent. All workers share it.
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

// take takes one request from the budget. It returns false where none is left.
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

// giveBack returns a request to the budget that the server has not seen.
func (b *budget) giveBack() { b.left.Add(1) }

func (b *budget) stop() { b.stopped.Store(true) }

// A worker drives one connection, and replaces it when it fails.
type worker struct {
	plan  *plan
	conn  net.Conn
	tally *tally
}

// run sends requests until the budget is spent. When ctx ends it closes the connection, and what is in flight fails.
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

// runConn sends requests on one connection until that ends. It returns true if another one is needed.
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

// class returns the kind of an error, in few enough words to count failures by.
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

// A protocolError is an answer that this package cannot read. Failures are counted by what, so that must have few values.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return e.what }
