package dispatch

import (
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// effects are decisions of the pool that are carried out after the function's lock is released.
type effects struct {
	start   []*instance
	kill    []verdict
	ready   []arrival
	leave   []leaving
	finish  []finishOrder
	steps   []rolloutStep
	changed bool
}

// An arrival is an instance that begins to serve, with what the log says about it.
type arrival struct {
	*instance
	environment string
	request     string // Lambda's id of its invocation
	slots       int
	after       time.Duration
}

// A finishOrder carries its reason: the pool's instance must not be read without the lock.
type finishOrder struct {
	*instance
	reason wire.Reason
}

// A leaving instance finishes its requests before it goes.
type leaving struct {
	finishOrder
	requests int // in flight
}

// A verdict is an instance to cut off, with what it waited for if it never came up.
type verdict struct {
	*instance
	waited  string
	doubted bool
}

func (e *effects) carryOut(f *function) {
	for _, a := range e.ready {
		f.log.WithFields(logrus.Fields{
			"instance": a.id, "environment": a.environment, "request_id": a.request, "slots": a.slots, "after": a.after.Round(time.Millisecond),
		}).Info("instance is ready")
	}
	for _, s := range e.steps {
		s.log(f.log)
		f.unwatch(s)
	}
	for _, i := range e.start {
		f.invoke(i)
	}
	for _, l := range e.leave {
		f.log.WithFields(logrus.Fields{"instance": l.id, "reason": l.reason, "in_flight": l.requests}).Info("instance drains")
	}
	for _, o := range e.finish {
		f.log.WithFields(logrus.Fields{"instance": o.id, "reason": o.reason}).Debug("instance is told to finish")
		f.d.relay.Drain(o.id, o.reason)
	}
	for _, v := range e.kill {
		f.kill(v)
	}
	if e.changed {
		f.d.changed(f.name)
	}
}
