package dispatch

import (
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

const (
	recentFailures = 20 // kept of each function
	recentWaits    = 50
	maxRequestID   = 128 // bytes kept of an id, which a client may choose
	// alike is how long failures of the same kind are counted as one entry.
	alike = time.Minute
)

// recent is what last happened to a function. Guarded by the function's mu.
type recent struct {
	failures ring[failure]
	waits    ring[waited]
}

type failure struct {
	what, cause, detail string
	at, first           time.Time
	count               uint64
	instance, request   string
	queue               time.Duration
}

type waited struct {
	at      time.Time
	request string
	wait    admission.Wait
}

// failed records a failure. Many of the same kind take one place, so that they do not push out others.
func (r *recent) failed(f failure) {
	f.count, f.first = 1, f.at
	for n := range r.failures.list {
		last := &r.failures.list[n]
		if last.what == f.what && last.cause == f.cause && f.at.Sub(last.first) < alike {
			f.count, f.first = last.count+1, last.first
			*last = f
			return
		}
	}
	r.failures.add(f, recentFailures)
}

func (r *recent) waited(at time.Time, l *Lease) {
	r.waits.add(waited{at, requestID(l.id), *l.wait}, recentWaits)
}

// requestID is the part of a request's id that its client knows. A long one is cut and copied, so that it keeps no header in
// memory.
func requestID(id string) string {
	id, _, _ = strings.Cut(id, " ")
	if len(id) > maxRequestID {
		return strings.Clone(id[:maxRequestID])
	}
	return id
}

// A ring keeps the last of what is added to it.
type ring[T any] struct {
	list []T
	next int // overwritten next, once the list is full
}

func (r *ring[T]) add(v T, most int) {
	if len(r.list) < most {
		r.list = append(r.list, v)
		return
	}
	r.list[r.next] = v
	r.next = (r.next + 1) % most
}

// Recent implements admin.Source.
func (d *Dispatcher) Recent() operator.Recent {
	all := operator.Recent{Failures: []operator.Failure{}, Waited: []operator.Waited{}}
	for _, f := range d.list() {
		f.appendRecent(&all)
	}
	slices.SortStableFunc(all.Failures, func(a, b operator.Failure) int { return b.At.Compare(a.At) })
	slices.SortStableFunc(all.Waited, func(a, b operator.Waited) int { return b.At.Compare(a.At) })
	return all
}

func (f *function) appendRecent(all *operator.Recent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.recent.failures.list {
		all.Failures = append(all.Failures, operator.Failure{
			At: r.at.UTC(), Function: f.name, What: r.what, Cause: r.cause, Detail: r.detail, Count: r.count,
			Instance: r.instance, RequestID: r.request, QueueMS: admission.Millis(r.queue),
		})
	}
	for _, w := range f.recent.waits.list {
		all.Waited = append(all.Waited, operator.Waited{
			At: w.at.UTC(), Function: f.name, RequestID: w.request, Instance: w.wait.Instance,
			QueueMS: admission.Millis(w.wait.Queue), Start: string(w.wait.Start),
		})
	}
}
