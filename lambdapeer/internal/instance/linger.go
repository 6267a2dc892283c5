package instance

import "time"

// done tells whether no request is in flight, and the linger time after the last answer is over. If only the time is missing, it
// starts the linger timer.
func (i *instance) done() bool {
	since, idle := i.server.gate.Idle()
	if !idle {
		return false
	}
	left := time.Duration(0)
	if !since.IsZero() {
		left = time.Until(since.Add(i.config.Invocation.Linger.Duration()))
	}
	if left > 0 {
		i.linger.Reset(left)
	}
	return left <= 0
}

// lingered ends a drain that only waited for the linger time.
func (i *instance) lingered() {
	i.ended = i.ended || i.released && i.done()
}

// outlast keeps an instance that has lost its relays for the rest of its linger time, and tells whether any is left.
func (i *instance) outlast() bool {
	if i.server.gate.InFlight() > 0 || i.done() {
		return false
	}
	i.draining, i.released = true, true
	i.limitIn(i.drainFor(time.Now()))
	return true
}
