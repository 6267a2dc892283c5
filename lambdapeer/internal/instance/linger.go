package instance

import "time"

// done tells whether nothing is in flight any more, and the app has had its time after the last answer. While only the time
// is missing, the linger timer runs.
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

// lingered ends a drain that waited for the app alone.
func (i *instance) lingered() {
	i.ended = i.ended || i.released && i.done()
}

// outlast keeps an instance that has lost its relays for what is left of the app's time, and tells whether there is any.
func (i *instance) outlast() bool {
	if i.server.gate.InFlight() > 0 || i.done() {
		return false
	}
	i.draining, i.released = true, true
	i.limitIn(i.drainFor(time.Now()))
	return true
}
