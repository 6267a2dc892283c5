package instance

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A schedule has the times of an instance, which follow from its invocation and deadline.
type schedule struct {
	dialTimeout time.Duration
	drainLimit  time.Duration
	drainAt     time.Time // zero: no deadline
	cutAt       time.Time // zero: no deadline
}

// newSchedule sets the drain to the margin before the deadline, but serves at least two thirds of the time that is left at now.
// So a timeout shorter than the margin does not make instances that only drain. Whatever the drain limit is, requests are cut off
// early enough to answer the invocation.
func newSchedule(inv wire.Invocation, deadline, now time.Time) schedule {
	s := schedule{
		dialTimeout: orElse(inv.DialTimeout, wire.DefaultDialTimeout),
		drainLimit:  orElse(inv.DrainLimit, wire.DefaultDrainLimit),
	}
	if deadline.IsZero() {
		return s
	}
	left := max(0, deadline.Sub(now))
	s.drainAt = deadline.Add(-min(inv.DrainMargin.Duration(), left/3))
	s.cutAt = AnswerBy(deadline, now)
	if s.drainAt.After(s.cutAt) {
		s.drainAt = s.cutAt
	}
	return s
}

// AnswerBy returns when work for an invocation must end, as of now, so that its answer arrives before the deadline. After the
// deadline Lambda would answer itself, and end the environment.
func AnswerBy(deadline, now time.Time) time.Time {
	return deadline.Add(-min(time.Second, max(0, deadline.Sub(now))/6))
}

// DrainAt returns when an instance that begins at now drains by itself.
func DrainAt(inv wire.Invocation, deadline, now time.Time) time.Time {
	return newSchedule(inv, deadline, now).drainAt
}

// drainFor returns how long a drain that begins at now may take.
func (s schedule) drainFor(now time.Time) time.Duration {
	if s.cutAt.IsZero() {
		return s.drainLimit
	}
	return max(0, min(s.drainLimit, s.cutAt.Sub(now)))
}

func orElse(m, otherwise wire.Millis) time.Duration {
	if m == 0 {
		return otherwise.Duration()
	}
	return m.Duration()
}
