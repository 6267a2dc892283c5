// Package serial finds out whether an app serves one request at a time, from the times of those that overlap.
//
// It looks at pairs: a request A that came when nothing was in flight, and the next one, B, of the same kind, that came when the
// app had A for certain. An app that serves one at a time begins with B when A has ended: B never ends before A, and mostly a good
// while after it. In an app that serves them together, whatever their times are, B takes longer than A by so much as often as A takes
// longer than B by so much. So B ends before A at least as often as it ends twice as long after A as it came after A.
// A pair that does the second agrees, and is a coin that fell on one side; a pair that does the first contradicts, and begins the count anew.
// Where requests share a processor the same holds in the processor's own time, which runs slower the more is in flight: so a pair must agree
// in that time, too. A pair that does neither says little. Where each A is short and each B long, because a page asks for them in that order,
// all pairs agree: so the time from A's end to B's must also be one that A's kind takes alone.
//
// Under load nothing comes when nothing is in flight. So it also looks at lines: requests that wait while others are served. An
// app that serves one at a time ends them one after the other, each as long after the one before as it takes alone. One that
// serves two or more together ends one sooner, in each round. An alone time is the shortest of a kind that came when nothing was
// in flight.
package serial

import (
	"math"
	"math/bits"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// enough is how many pairs must agree, and none contradict, if the app serves one at a time. By chance they do once in a million
	// times.
	enough = 20
	// doubts is how many pairs may contradict before nobody looks any more.
	doubts = 20
	// mute is how many pairs that say little take back one that agrees: an app that serves together may stand still now and then,
	// just between two ends.
	mute = 10
	// alike is how many times as long as alone requests of agreeing pairs may take, in the mean: those that agree are the longer ones.
	alike = 3
	// dull is how many more of those than that there may be before nobody looks any more.
	dull = 500
	// lined is how many ends in a row have such a distance when the app serves one at a time. Requests that share a processor
	// have it for as long as their rounds stay the same.
	lined = 64
	// company is how many requests are in flight, at least, when one comes that counts in a line: fewer share a processor evenly
	// more often.
	company = 3
	// kinds bounds how many kinds are remembered.
	kinds = 64
	// apart is how long after A a B that counts comes. Those that come together reach the app in any order. So what counts
	// takes 20 ms mostly; shorter ones follow each other on one processor whatever the app does.
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
	score    int      // of pairs, in parts of mute
	longer   float64  // of the pairs that agreed: sum of logarithms of how many times as long as alone B took, if it began when A had ended
	agreed   int      // so many
	against  int
	neither  int // pairs that say little

	turn time.Duration // what is shorter says nothing, because the processor stands still for as long

	processed float64   // seconds that a processor has had for each request, if those in flight share one
	moved     time.Time // when that was so

	alone map[string]*alone // by kind
	last  time.Time         // the last end; zero: none that says anything
	row   int               // ends in a row as of an app that serves one at a time
}

// New returns a Watch that has seen nothing.
func New() *Watch {
	return &Watch{found: make(chan struct{}), now: time.Now, alone: make(map[string]*alone)}
}

// stands is for how long a small share of a processor stands still, and a little more: Lambda gives it in turns of a tenth of a second.
const stands = 150 * time.Millisecond

// Small says that the app has a small share of a processor. It is called before the first request.
func (w *Watch) Small() { w.turn = stands }

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
	from, to float64   // Watch.processed when it began and when it ended
}

// alone is how long requests of a kind took that came when nothing was in flight.
type alone struct {
	least time.Duration
	n     float64
	logs  float64 // sum of logarithms
}

// remembered is about how many requests an alone remembers.
const remembered = 64

func (a *alone) add(took time.Duration) {
	if a.n == 0 || took < a.least {
		a.least = took
	}
	keep := min(1, remembered/(a.n+1))
	a.n, a.logs = a.n*keep+1, a.logs*keep+math.Log(float64(max(1, took)))
}

// usual is about how long they take. A few long ones hardly count.
func (a *alone) usual() time.Duration { return time.Duration(math.Exp(a.logs / a.n)) }

// Begin takes note of a request that the app gets. Answered, which may be left out, and Ended follow.
func (w *Watch) Begin(r *http.Request) *Request {
	if w == nil || w.over.Load() {
		return nil
	}
	q := &Request{watch: w, kind: kindOf(r)}
	w.mu.Lock()
	defer w.mu.Unlock()
	q.began = w.now()
	q.from = w.advance(q.began)
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
	q.ended = w.now()
	q.to = w.advance(q.ended)
	w.inFlight--
	w.look(q, cut)
	switch {
	case q != w.first && q != w.second || w.first == nil:
	case cut:
		w.first, w.second = nil, nil
	case q == w.first:
		if w.second == nil {
			w.first = nil
		}
	default:
		w.compare()
	}
}

// advance counts what a processor has done until now, and returns it.
func (w *Watch) advance(now time.Time) float64 {
	if w.inFlight > 0 {
		w.processed += now.Sub(w.moved).Seconds() / float64(w.inFlight)
	}
	w.moved = now
	return w.processed
}

// compare looks at a pair whose second request has ended.
func (w *Watch) compare() {
	a, b := w.first, w.second
	w.first, w.second = nil, nil
	known := w.alone[a.kind]
	if a.ended.IsZero() {
		w.contradict()
		return
	}
	gap, later := b.began.Sub(a.began), b.ended.Sub(a.ended)
	switch {
	case known == nil || known.usual() < 4*apart: // it says nothing
	case later >= gap+max(gap, known.usual()/4, w.turn) && b.to-a.to > 2*(b.from-a.from):
		w.agree(float64(later) / float64(known.usual()))
	default:
		w.doubt()
	}
}

func (w *Watch) agree(longer float64) {
	w.neither = max(0, w.neither-mute)
	w.longer += math.Log(longer)
	w.agreed++
	w.score += mute
	switch {
	case w.score < enough*mute:
	case w.longer <= float64(w.agreed)*math.Log(alike):
		w.find()
	default:
		w.contradict()
	}
}

func (w *Watch) doubt() {
	w.score = max(0, w.score-1)
	if w.neither++; w.neither == dull {
		w.over.Store(true)
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
	known := w.alone[q.kind]
	if q.inFlight == 1 {
		if known == nil && len(w.alone) < kinds {
			known = &alone{}
			w.alone[q.kind] = known
		}
		if known != nil {
			known.add(q.ended.Sub(q.began))
		}
	}
	if known == nil || known.least < 4*apart || q.inFlight < company || before.Sub(q.began) < apart {
		return
	}
	distance := q.ended.Sub(before)
	switch {
	case distance < known.least*8/10, !q.answered.IsZero() && q.answered.Before(before):
		w.row = 0
	case distance <= 2*known.least:
		if w.row++; w.row == lined {
			w.find()
		}
	}
}

func (w *Watch) contradict() {
	w.first, w.second, w.score, w.longer, w.agreed = nil, nil, 0, 0, 0
	if w.against++; w.against == doubts {
		w.over.Store(true)
	}
}

// kindOf groups requests that are likely to take as long: those of one method and path, whatever number is in it, with the same
// parameters and a body of about the same size.
func kindOf(r *http.Request) string {
	var kind strings.Builder
	kind.WriteString(r.Method)
	kind.WriteByte(byte('0' + bits.Len64(uint64(max(0, r.ContentLength)))))
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if strings.ContainsAny(part, "0123456789") {
			part = "*"
		}
		kind.WriteByte('/')
		kind.WriteString(part)
	}
	for parameter := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(parameter, "=")
		kind.WriteByte('&')
		kind.WriteString(name)
	}
	return kind.String()
}
