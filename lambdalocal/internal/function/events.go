package function

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// maxQueued is how many events may wait per function. Further ones are accepted and dropped, as Lambda may do.
const maxQueued = 10_000

// maxThrottleFactor is how far the delay after a throttle doubles: from Lambda's second to its five minutes.
const maxThrottleFactor = 300

// Events says how a function's asynchronous invocations are repeated.
type Events struct {
	MaxAge        time.Duration // then an event is dropped
	MaxRetries    int           // after function errors
	RetryDelay    time.Duration // before the first retry; twice that before the second
	ThrottleDelay time.Duration // after a throttle or a service error; doubles each time, and these do not count as retries
}

// A Drop says why an event was given up. Drops are keys of EventCounters.Dropped.
type Drop string

// The drops.
const (
	DropRetries  Drop = "retries"   // the function failed each time
	DropAge      Drop = "age"       // too old for another try
	DropFull     Drop = "full"      // too many waited
	DropGone     Drop = "gone"      // its alias was deleted while it waited
	DropReserved Drop = "reserved"  // no concurrency is reserved for the function
	DropShutdown Drop = "shut_down" // lambdalocal ended
)

// EventCounters count asynchronous invocations.
type EventCounters struct {
	Accepted  int          `json:"accepted"` // Queued + Succeeded + Dropped
	Queued    int          `json:"queued"`   // now, in progress included
	Retried   int          `json:"retried"`  // further tries, after whatever error
	Succeeded int          `json:"succeeded"`
	Dropped   map[Drop]int `json:"dropped"`
}

// An event is an asynchronous invocation. It belongs to one goroutine.
type event struct {
	f         *Function
	inv       environment.Invocation
	qualifier string
	accepted  time.Time
	retries   int // after function errors
	throttles int // in a row
}

// Enqueue accepts an asynchronous invocation and returns at once. The version is resolved at each try.
func (f *Function) Enqueue(qualifier string, inv environment.Invocation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return serviceerror.New(serviceerror.TypeService, "lambdalocal is shutting down")
	}
	counters := &f.counters.Events
	counters.Accepted++
	if counters.Queued >= maxQueued {
		counters.Dropped[DropFull]++
		return nil
	}
	counters.Queued++
	inv.Asynchronous = true
	e := &event{f: f, inv: inv, qualifier: qualifier, accepted: time.Now()}
	f.events.Go(e.run)
	return nil
}

func (e *event) run() {
	drop := e.deliver()
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	counters := &e.f.counters.Events
	counters.Queued--
	if drop == "" {
		counters.Succeeded++
		return
	}
	counters.Dropped[drop]++
	e.f.cfg.Log.WithField("function", e.f.cfg.Function).WithField("request", e.inv.ID).WithField("cause", drop).Warn("event dropped")
}

// deliver tries until the function succeeds, which gives an empty Drop, or the event must be dropped.
func (e *event) deliver() Drop {
	for {
		var known bool
		if e.inv.Version, known = e.f.Resolve(e.qualifier); !known {
			return DropGone
		}
		result, err := e.f.Invoke(context.Background(), Call{Invocation: e.inv, Front: ledger.Invoke})
		if err == nil && result.Outcome == environment.Succeeded {
			return ""
		}
		delay, drop := e.again(err, time.Now())
		if drop != "" {
			return drop
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
			e.f.countRetry()
		case <-e.f.closing.Done():
			timer.Stop()
			return DropShutdown
		}
	}
}

// again decides what follows a try that failed. err is the service's; if it is nil, the function failed.
func (e *event) again(err error, now time.Time) (time.Duration, Drop) {
	cfg := e.f.cfg.Events
	var delay time.Duration
	if reserved := e.f.cfg.Share.Reserved(); err != nil && reserved != nil && *reserved == 0 {
		return 0, DropReserved // a function that is switched off: Lambda gives its events up at once
	}
	if temporary(err) {
		delay = cfg.ThrottleDelay * time.Duration(min(1<<min(e.throttles, 30), maxThrottleFactor))
		e.throttles++
	} else {
		if e.retries == cfg.MaxRetries {
			return 0, DropRetries
		}
		e.retries++
		e.throttles = 0
		delay = cfg.RetryDelay * time.Duration(e.retries)
	}
	if now.Add(delay).Sub(e.accepted) > cfg.MaxAge {
		return 0, DropAge
	}
	return delay, ""
}

// temporary tells whether the error is the service's, and may be over later.
func temporary(err error) bool {
	var e *serviceerror.Error
	return errors.As(err, &e) && (e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError)
}

func (f *Function) countRetry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counters.Events.Retried++
}
