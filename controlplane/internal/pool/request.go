package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A Cause says why a request was not served: one of the causes here, or one of the scaler's start causes.
type Cause = scaler.Cause

// Causes that are not about starts.
const (
	QueueFull    Cause = "queue_full"
	QueueTimeout Cause = "queue_timeout"
	Closed       Cause = "closed"
	AppStarting  Cause = "app_starting" // waited too long for an instance whose app does not take requests yet
	Overload     Cause = "overload"     // an instance had no slot for it, and no request may wait
)

// A RequestState is how far a request has come.
type RequestState uint8

// States of a request. The last three are final.
const (
	Fresh    RequestState = iota
	Waiting               // in the queue
	Leased                // holds a slot of Instance
	Rejected              // never queued; see Cause
	Evicted               // queued, then left unserved; see Cause
	Done                  // released
)

// A Request asks for a slot. The caller owns its memory and may embed it. The zero value is ready for Acquire, and so is a request
// in a final state. It must not be copied or moved between Acquire and the final state.
type Request struct {
	Owner any // the caller's; the pool never looks at it
	// Stream says that the request will hold its slot for long, as far as can be told when it arrives.
	Stream bool
	// Began is when the request first came, maybe to a process that decided before this one; zero: not known.
	Began time.Time
	// Deadly says that the request may well kill its environment, and with it what else is in flight there.
	Deadly bool

	state      RequestState
	cause      Cause
	after      time.Duration
	instance   *Instance
	arrived    time.Time
	due        time.Time // when it leaves the queue; no waiter does before an earlier one
	waited     time.Duration
	returned   bool // an instance has refused it before
	refused    bool // while leased: the instance has refused it
	leased     time.Time
	sample     uint64   // of the limiter
	arm        arm      // of a trial
	next, prev *Request // in the queue or among its instance's leases
}

// begin forgets all but what the caller has said of the request.
func (r *Request) begin(arrived time.Time) {
	*r = Request{Owner: r.Owner, Stream: r.Stream, Began: r.Began, Deadly: r.Deadly, arrived: arrived}
}

// State is how far the request has come.
func (r *Request) State() RequestState { return r.state }

// Instance is the instance whose slot the request holds or held; nil if it never had one.
func (r *Request) Instance() *Instance { return r.instance }

// Cause is why the request was rejected or evicted; empty otherwise.
func (r *Request) Cause() Cause { return r.cause }

// RetryAfter is when a client may try again after its request was rejected or evicted; 0: not known.
func (r *Request) RetryAfter() time.Duration { return r.after }

// Waited is how long the request was in the queue; 0 while it still is.
func (r *Request) Waited() time.Duration { return r.waited }

// Arrived is when the request first came.
func (r *Request) Arrived() time.Time { return r.arrived }

// ForStart reports whether the request waited for the start of the instance that it then got a slot of.
func (r *Request) ForStart() bool {
	i := r.instance
	return i != nil && r.waited > 0 && !i.adopted && !i.inherited && i.up.After(r.arrived)
}

// A requestList is an intrusive list, oldest first. A request is in one list at most.
type requestList struct {
	head, tail *Request
	n          int
}

func (l *requestList) push(r *Request) {
	r.prev, r.next = l.tail, nil
	if l.tail == nil {
		l.head = r
	} else {
		l.tail.next = r
	}
	l.tail = r
	l.n++
}

// join puts r behind all requests that arrived no later, and returns the one behind it; nil if r is the last.
func (l *requestList) join(r *Request) (next *Request) {
	before := l.tail
	for ; before != nil && before.arrived.After(r.arrived); before = before.prev {
		next = before
	}
	l.insert(r, next)
	return next
}

// insert puts r before another request of the list, or at the end if before is nil.
func (l *requestList) insert(r, before *Request) {
	if before == nil {
		l.push(r)
		return
	}
	r.prev, r.next = before.prev, before
	before.prev = r
	if r.prev == nil {
		l.head = r
	} else {
		r.prev.next = r
	}
	l.n++
}

func (l *requestList) remove(r *Request) {
	if r.prev == nil {
		l.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		l.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.next, r.prev = nil, nil
	l.n--
}
