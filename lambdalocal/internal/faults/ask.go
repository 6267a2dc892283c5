package faults

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// An Arrival is what strikes an invocation at the Invoke API. Its zero value is nothing.
type Arrival struct {
	Refusal   *serviceerror.Error // refuse it with this
	Reset     bool                // reset the caller's connection instead of anything else
	Placement time.Duration       // wait before it is placed
	Answer    time.Duration       // wait before it is answered
	Early     *time.Duration      // answer null after so long
	Lost      *time.Duration      // reset the caller's connection after so long
}

// Arrival decides about the function's next invocation. Of several faults of the same kind the first counts, and none counts after
// a refusal.
func (s *Set) Arrival(function string) Arrival {
	var what Arrival
	s.ask(atArrival, function, func(f Fault) (goOn bool) {
		what.add(f)
		return what.Refusal == nil && !what.Reset
	})
	return what
}

func (a *Arrival) add(f Fault) {
	switch f.Kind {
	case Reset:
		a.Reset = true
	case SlowPlacement:
		a.Placement = f.Delay
	case SlowAnswer:
		a.Answer = f.Delay
	case AnswerEarly:
		a.Early = &f.Delay
	case AnswerLost:
		a.Lost = &f.Delay
	default:
		a.Refusal = f.refusal()
	}
}

func (f Fault) refusal() *serviceerror.Error {
	kind := kinds[f.Kind].refusal
	e := serviceerror.New(kind, "%s by a fault that was set", kind)
	if f.Kind == Throttle {
		e = serviceerror.Throttled(serviceerror.ReasonFunctionLimit)
	}
	if f.Reason != "" {
		e.Reason = f.Reason
	}
	if f.Message != "" {
		e.Message = f.Message
	}
	return e
}

// ColdStart decides how long the function's next environment waits for its init; own is how long without a fault.
func (s *Set) ColdStart(function string, own time.Duration) time.Duration {
	delay := own
	s.ask(atColdStart, function, func(f Fault) bool {
		delay = f.Delay
		return false
	})
	return delay
}

// InitFails decides about the init of the function's next environment.
func (s *Set) InitFails(function string) (fails bool) {
	s.ask(atInit, function, func(Fault) bool {
		fails = true
		return false
	})
	return fails
}

// Serving decides about an invocation that an environment of the function begins to serve: whether, and after how long,
// its processes are killed.
func (s *Set) Serving(function string) (kill bool, after time.Duration) {
	s.ask(atServing, function, func(f Fault) bool {
		kill, after = true, f.Delay
		return false
	})
	return kill, after
}

// Links returns the network faults in force.
func (s *Set) Links() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Fault
	for _, a := range s.faults {
		if kinds[a.Kind].point == atLink {
			all = append(all, a.Fault)
		}
	}
	return all
}

// ask gives each fault of the point and function its chance, until struck says that the others have none. A kind that
// has struck does not strike again.
func (s *Set) ask(where point, function string, struck func(Fault) (goOn bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := map[Kind]bool{}
	for _, a := range s.faults {
		if kinds[a.Kind].point != where || !a.Concerns(function) || done[a.Kind] || !a.strikes(s.random) {
			continue
		}
		done[a.Kind] = true
		if !struck(a.Fault) {
			return
		}
	}
}
