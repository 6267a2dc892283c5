// Package serial finds out whether an app serves one request at a time, from the times of those that overlap.
//
// It looks at pairs: a request A that came when nothing was in flight, and the next one, B, of the same kind, that came when the
// app had A for certain, and within the first quarter of A's time. An app that serves them together answers B about as long after
// A as B came after A, or before A. One that serves one at a time begins with B when A has ended: B's answer comes after A's end,
// and that takes about as long as A took. Apps whose times vary do so by chance now and then, and so it takes many pairs in a
// row; one pair that contradicts begins the count anew.
//
// Under load nothing comes when nothing is in flight. So it also looks at lines: requests that wait while others are served. An
// app that serves one at a time ends them one after the other, each as long after the one before as it takes alone. One that
// serves two or more together ends one sooner, in each round. An alone time is the shortest of a kind that came when nothing was
// in flight.
package serial

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// enough is how many pairs in a row say that the app serves one at a time. Of pairs that say anything, one in four says so
	// by chance where times vary without bound; this many in a row do once in four thousand million.
	enough = 16
	// doubts is how many pairs may contradict before nobody looks any more.
	doubts = 20
	// lined is how many ends in a row have such a distance when the app serves one at a time. Requests that share a processor
	// have it for as long as their rounds stay the same.
	lined = 64
	// company is how many requests are in flight, at least, when one comes that counts in a line: fewer share a processor evenly
	// more often.
	company = 3
	// kinds bounds how many kinds are remembered.
	kinds = 64
	// apart is how long after A a B that counts comes. Those that come together reach the app in any order. So what counts
	// takes 20 ms at least; shorter ones follow each other on one processor whatever the app does.
	apart = 5 * time.Millisecond
)

// A Watch is one app's. The nil Watch sees nothing. It is safe for concurrent use.
type Watch struct {
	over  atomic.Bool // it is known, or given up
	found chan struct{}

	mu       sync.Mutex // guards the fields below
	now      func() time.Time
	inFlight int
	first    *Request // A; nil: none, or the pair is of no use
	second   *Request // B
	pairs    int      // in a row
	against  int

	alone map[string]time.Duration // by kind
	last  time.Time                // the last end; zero: none that says anything
	row   int                      // ends in a row as of an app that serves one at a time
}

// New returns a Watch that has seen nothing.
func New() *Watch {
	return &Watch{found: make(chan struct{}), now: time.Now, alone: make(map[string]time.Duration)}
}

// Found is closed when the app is known to serve one request at a time. It is nil for a nil Watch.
func (w *Watch) Found() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.found
}

// A Request is one that the app has. The nil Request is one that nobody looks at.
type Request struct {
	watch    *Watch
	kind     string
	inFlight int // when it came, with itself
	began    time.Time
	answered time.Time // zero: not yet
	ended    time.Time // zero: not yet
}

// Begin takes note of a request that the app gets. Answered, which may be left out, and Ended follow.
func (w *Watch) Begin(r *http.Request) *Request {
	if w == nil || w.over.Load() {
		return nil
	}
	q := &Request{watch: w, kind: kindOf(r)}
	w.mu.Lock()
	defer w.mu.Unlock()
	q.began = w.now()
	w.inFlight++
	q.inFlight = w.inFlight
	switch {
	case w.inFlight == 1:
		w.first, w.second = q, nil
	case w.first == nil || w.second != nil || !w.first.ended.IsZero():
	case q.kind == w.first.kind && q.began.Sub(w.first.began) >= apart:
		w.second = q
	default:
		w.first = nil
	}
	return q
}

// Answered says that the app has begun to answer.
func (q *Request) Answered() {
	if q == nil || q.watch.over.Load() {
		return
	}
	w := q.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	q.answered = w.now()
	if q == w.second && w.first.ended.IsZero() {
		w.contradict()
	}
}

// Ended says that the app is done with the request. One that was cut short says nothing about the app.
func (q *Request) Ended(cut bool) {
	if q == nil {
		return
	}
	w := q.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight--
	q.ended = w.now()
	w.look(q, cut)
	switch {
	case q != w.first && q != w.second || w.first == nil:
	case cut:
		w.first, w.second = nil, nil
	case q == w.first:
		w.firstEnded(q.ended.Sub(q.began))
	default:
		w.compare()
	}
}

// firstEnded keeps the pair if it can tell anything.
func (w *Watch) firstEnded(took time.Duration) {
	if w.second == nil || w.second.began.Sub(w.first.began) > took/4 {
		w.first, w.second = nil, nil
	}
}

// compare looks at a pair whose second request has ended.
func (w *Watch) compare() {
	a, b := w.first, w.second
	took, later := a.ended.Sub(a.began), b.ended.Sub(a.ended)
	switch {
	case a.ended.IsZero() || later < took*35/100:
		w.contradict()
	case later < took/2 || later > 2*took: // it says nothing
		w.first, w.second = nil, nil
	default:
		w.agree()
	}
}

func (w *Watch) agree() {
	w.first, w.second = nil, nil
	if w.pairs++; w.pairs == enough {
		w.find()
	}
}

func (w *Watch) find() {
	if w.over.CompareAndSwap(false, true) {
		close(w.found)
	}
}

// look compares a request that has ended with the line in which it may have stood. What contradicts is not counted as a doubt:
// the alone time may be that of an app that had just started.
func (w *Watch) look(q *Request, cut bool) {
	before := w.last
	if w.last = q.ended; cut {
		w.last = time.Time{} // the app may still work on it
		return
	}
	alone, known := w.alone[q.kind]
	if took := q.ended.Sub(q.began); q.inFlight == 1 && (known && took < alone || !known && len(w.alone) < kinds) {
		w.alone[q.kind] = took
	}
	if alone < 4*apart || q.inFlight < company || before.Sub(q.began) < apart {
		return
	}
	distance := q.ended.Sub(before)
	switch {
	case distance < alone*8/10, !q.answered.IsZero() && q.answered.Before(before):
		w.row = 0
	case distance <= 2*alone:
		if w.row++; w.row == lined {
			w.find()
		}
	}
}

func (w *Watch) contradict() {
	w.first, w.second, w.pairs = nil, nil, 0
	if w.against++; w.against == doubts {
		w.over.Store(true)
	}
}

// kindOf groups requests that are likely to take as long: those of one method and path, whatever number is in it.
func kindOf(r *http.Request) string {
	var kind strings.Builder
	kind.WriteString(r.Method)
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if strings.ContainsAny(part, "0123456789") {
			part = "*"
		}
		kind.WriteByte('/')
		kind.WriteString(part)
	}
	return kind.String()
}
