package simulate

import "time"

// A kind is what happens at an event.
type kind uint8

const (
	nothing    kind = iota
	tick            // the pool's timer
	arrival         // of the next request
	done            // a request's answer is complete
	processed       // a request's work on its instance's processor is done
	up              // an instance may be leased
	refused         // Lambda did not accept an Invoke
	initFailed      // the app did not come up
	finished        // an invocation ended because it was told to
	killed          // it ended otherwise
	deployed        // the alias points to another version
	read            // the control plane has read that
	retried         // a client tries again
	gaveUp          // a client's patience ends; version is the request's life
	lost            // an outage begins
	back            // it ends

	// Of Peers.
	reached  // a request is at its instance's peer
	left     // a client leaves
	waited   // a request waits for its slot in vain
	handled  // a handler returns
	answered // an answer is complete at the client
	sampled  // a peer counts its requests
	told     // its report is heard; version is the count
)

// An event lies in the future.
type event struct {
	at       time.Duration
	order    uint64 // events of the same time happen in the order in which they were made
	kind     kind
	version  int
	instance *instance
	request  *request
}

// events is a binary heap by time. It is not package heap's, which would allocate for every event.
type events struct {
	heap []event
	made uint64
}

func (e *events) len() int      { return len(e.heap) }
func (e *events) first() *event { return &e.heap[0] }

func (e *events) less(a, b int) bool {
	if e.heap[a].at != e.heap[b].at {
		return e.heap[a].at < e.heap[b].at
	}
	return e.heap[a].order < e.heap[b].order
}

func (e *events) push(v event) {
	e.made++
	v.order = e.made
	e.heap = append(e.heap, v)
	for k := len(e.heap) - 1; k > 0; {
		parent := (k - 1) / 2
		if !e.less(k, parent) {
			return
		}
		e.heap[k], e.heap[parent] = e.heap[parent], e.heap[k]
		k = parent
	}
}

func (e *events) pop() event {
	top := e.heap[0]
	last := len(e.heap) - 1
	e.heap[0] = e.heap[last]
	e.heap[last] = event{}
	e.heap = e.heap[:last]
	for k := 0; ; {
		child := 2*k + 1
		if child >= last {
			return top
		}
		if child+1 < last && e.less(child+1, child) {
			child++
		}
		if !e.less(child, k) {
			return top
		}
		e.heap[k], e.heap[child] = e.heap[child], e.heap[k]
		k = child
	}
}
