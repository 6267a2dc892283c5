package scaler

import (
	"math"
	"math/rand/v2"
	"time"
)

// How the breaker paces starts that keep failing.
const (
	ProbeEvery  = 30 * time.Second // between tries of starts that have been refused for long
	ForgetAfter = time.Minute      // after the pause, without a try: then failures are forgotten
	OpenAfter   = 3                // failures in a row after which requests do not wait, for causes of class probe
	// Attempts bounds the starts that one request can cause while all of them fail. After as many steps without a new
	// request the breaker is spent.
	Attempts = 10
)

// A Breaker paces starts while they fail. Failures of starts that were made together count as one step, and each step lengthens the
// pause. The zero value with a rand is closed: it holds nothing back.
type Breaker struct {
	rand    *rand.Rand
	cause   Cause
	rule    rule
	steps   int // in a row
	arrival int // steps when the last request came
	until   time.Time
	epoch   uint64 // steps since the beginning; starts carry it, so that failures of one burst are known to belong together
	flaps   bool   // the instance had been up: only one that gets a request closes the breaker
}

// Epoch is the number that the caller keeps with each start, and passes back with its outcome.
func (b *Breaker) Epoch() uint64 { return b.epoch }

// Failed says that a start of that epoch failed. afterUp means that it had been up, and ended without serving.
func (b *Breaker) Failed(now time.Time, cause Cause, epoch uint64, afterUp bool) {
	r := ruleOf(cause)
	if b.steps > 0 && epoch < b.epoch {
		b.tighten(now, cause, r)
		return
	}
	b.steps++
	b.epoch++
	b.cause, b.rule, b.flaps = cause, r, afterUp
	b.until = now.Add(b.pause())
}

// tighten takes over a stricter cause from the same burst, without another step.
func (b *Breaker) tighten(now time.Time, cause Cause, r rule) {
	if r.class <= b.rule.class {
		return
	}
	b.cause, b.rule = cause, r
	if until := now.Add(b.pause()); until.After(b.until) {
		b.until = until
	}
}

// pause is half fixed and half jitter, so that functions that failed together do not try again together.
func (b *Breaker) pause() time.Duration {
	d := min(b.rule.first<<min(b.steps-1, 16), b.rule.longest)
	return d/2 + time.Duration(b.rand.Int64N(int64(d/2)+1))
}

// Explain says why a start failed of which only StartTimeout was known, because its invocation has ended. It makes no further step.
func (b *Breaker) Explain(cause Cause) {
	if b.cause == StartTimeout && cause.explains() {
		b.cause, b.rule = cause, ruleOf(cause)
	}
}

// Up says that a start of that epoch came up. It closes the breaker, unless that says nothing about the next start.
func (b *Breaker) Up(epoch uint64) {
	if b.flaps || b.rule.refused && epoch < b.epoch {
		return
	}
	b.close()
}

// Served says that an instance of that epoch got a request.
func (b *Breaker) Served(epoch uint64) {
	if b.flaps && epoch >= b.epoch {
		b.close()
	}
}

// Freed says that an instance ended that had been up. If such instances fill Lambda's limit, the next start may be made at once.
func (b *Breaker) Freed(now time.Time) {
	if b.rule.freed && now.Before(b.until) {
		b.until = now
	}
}

// Retry closes the breaker until the next failure, because an operator knows that the cause is gone.
func (b *Breaker) Retry() { b.close() }

func (b *Breaker) close() {
	b.cause, b.rule, b.steps, b.arrival, b.flaps = "", rule{}, 0, 0, false
	b.until = time.Time{}
}

// Arrived says that a request came and waits, so it may cause Attempts starts. If it is the only waiter, failures are forgotten
// that are ForgetAfter old, unless the breaker is open.
func (b *Breaker) Arrived(now time.Time, alone bool) {
	if alone && !b.Open() && now.After(b.until.Add(ForgetAfter)) {
		b.close()
	}
	b.arrival = b.steps
}

// Cause is why starts fail; empty while the breaker is closed.
func (b *Breaker) Cause() Cause { return b.cause }

// Open reports whether requests should not wait for starts, because these are refused for good, or keep failing.
func (b *Breaker) Open() bool {
	switch b.rule.class {
	case stop:
		return b.steps > 0
	case probe:
		return b.steps >= OpenAfter
	default:
		return false
	}
}

// Spent reports whether the requests that wait have caused all the starts that they may.
func (b *Breaker) Spent() bool { return b.steps-b.arrival >= Attempts }

// Room is how many starts may be made now, and what holds more back. starting are in progress, of at most budget. A closed breaker
// sets no limit.
func (b *Breaker) Room(now time.Time, starting, budget int) (int, Block) {
	if b.steps == 0 {
		return math.MaxInt, Block{}
	}
	if now.Before(b.until) {
		return 0, b.Block()
	}
	limit := 1
	if b.rule.several {
		limit = max(1, budget>>min(b.steps, 16))
	}
	return max(0, limit-starting), Block{Reason: Backoff, Cause: b.cause}
}

// Block is why starts are paced; the zero Block while the breaker is closed. Its Until may be past.
func (b *Breaker) Block() Block {
	if b.steps == 0 {
		return Block{}
	}
	return Block{Reason: Backoff, Cause: b.cause, Until: b.until}
}
