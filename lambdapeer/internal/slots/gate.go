// Package slots holds requests to an instance's hard cap and counts them.
package slots

import (
	"container/list"
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/serial"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Gate lets at most its number of slots through to a handler at once. A request above that waits a short time, because
// a cancelled predecessor may still be unwinding; then it is refused, unseen by the handler.
type Gate struct {
	// HalfClosed is how long an upgraded connection may last after its client has stopped sending. 0: no limit. It is set
	// before the gate is used.
	HalfClosed time.Duration

	slots int           // 0: no cap
	mark  string        // empty: no request is asked for again
	watch *serial.Watch // nil: none

	mu       sync.Mutex // guards the fields below
	inFlight int
	waiting  list.List // of chan struct{}, oldest first; a closed one has been given a slot
	requests int64
	refused  int64
	ended    time.Time // when the last request ended that left none in flight; zero: none has
	shut     bool

	answers atomic.Int64
	errors  atomic.Int64 // of them, 5xx

	armed   atomic.Bool
	changed chan struct{}
}

// New returns a Gate with that many slots, all free. With 0 slots it only counts. With a mark, it refuses a request that Envoy
// can send again by a redirect that has Envoy send it to another instance; the request has the mark then.
func New(slots int, mark string) *Gate {
	return &Gate{slots: slots, mark: mark, changed: make(chan struct{}, 1)}
}

// Watch has w see the requests from now on. It is called before the first one.
func (g *Gate) Watch(w *serial.Watch) { g.watch = w }

// InFlight returns how many requests hold a slot.
func (g *Gate) InFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inFlight
}

// Counts returns how many requests were given a slot and how many were refused one.
func (g *Gate) Counts() (requests, refused int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.requests, g.refused
}

// Answers returns how many answers the handler has begun, and how many of them with a status of 500 or more.
func (g *Gate) Answers() (answers, errors int64) { return g.answers.Load(), g.errors.Load() }

// answered counts an answer with that status.
func (g *Gate) answered(status int) {
	if status >= http.StatusInternalServerError {
		g.errors.Add(1)
	}
	g.answers.Add(1)
	g.signal()
}

// Changed receives once after each Arm, as soon as a request is given a slot, is answered, gives it back, or is refused. It is for one
// receiver, which reads InFlight after Arm and so misses nothing. A gate that is not armed costs its requests nothing.
func (g *Gate) Changed() <-chan struct{} { return g.changed }

// Arm makes the next of these events send on Changed.
func (g *Gate) Arm() { g.armed.Store(true) }

// Shut refuses all requests from now on: the handler could not serve them.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

func (g *Gate) signal() {
	if !g.armed.Load() || !g.armed.CompareAndSwap(true, false) {
		return
	}
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// acquire waits for a slot, until wait has passed or ctx ends, and tells whether it got one.
func (g *Gate) acquire(ctx context.Context, wait time.Duration) bool {
	g.mu.Lock()
	if !g.shut && (g.slots == 0 || g.inFlight < g.slots) {
		g.inFlight++
		g.requests++
		g.mu.Unlock()
		g.signal()
		return true
	}
	if g.shut || g.waiting.Len() >= g.slots {
		g.refused++
		g.mu.Unlock()
		g.signal()
		return false
	}
	granted := make(chan struct{})
	place := g.waiting.PushBack(granted)
	g.mu.Unlock()
	return g.await(ctx, wait, granted, place)
}

func (g *Gate) await(ctx context.Context, wait time.Duration, granted chan struct{}, place *list.Element) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-granted:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	if g.giveUp(granted, place) {
		g.signal()
		return false
	}
	return true
}

// giveUp removes a waiter, and returns false if it was given a slot meanwhile.
func (g *Gate) giveUp(granted chan struct{}, place *list.Element) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-granted:
		return false
	default:
	}
	g.waiting.Remove(place)
	g.refused++
	return true
}

// release gives the slot to the oldest waiter, or back.
func (g *Gate) release() {
	g.mu.Lock()
	if oldest := g.waiting.Front(); oldest != nil && !g.shut {
		g.requests++
		close(g.waiting.Remove(oldest).(chan struct{}))
		g.mu.Unlock()
		g.signal()
		return
	}
	g.inFlight--
	if g.inFlight == 0 {
		g.ended = time.Now()
	}
	g.mu.Unlock()
	g.signal()
}

// Idle returns since when nothing has been in flight: the zero time if nothing ever was. ok is false if something is.
func (g *Gate) Idle() (since time.Time, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended, g.inFlight == 0
}

// Wrap returns a handler that holds a slot around each call of next, until it returns, or for a hijacked connection until that is
// closed. It removes wire.RefusedHeader from requests and answers, and the lineage of an X-Ray id from requests. It answers 502
// in next's place if a header is too long for HTTP/2 to Envoy.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := g.again(r)
		r.Header.Del(wire.RefusedHeader)
		forgetLineage(r.Header)
		if !g.acquire(r.Context(), patience(r, target)) {
			g.refuse(w, r, target)
			return
		}
		guarded := &writer{ResponseWriter: w, gate: g, http2: r.ProtoMajor == 2, seen: g.watch.Begin(r), ctx: r.Context()}
		if r.ContentLength == 0 {
			guarded.again = target
		}
		defer guarded.done()
		if !guarded.http2 { // it may be upgraded, and net/http does not see the end of such a connection
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			guarded.leave, r = cancel, r.WithContext(ctx)
		}
		next.ServeHTTP(guarded, r)
		guarded.returned = true
	})
}
