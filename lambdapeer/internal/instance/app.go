package instance

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// firstLook is how long an instance waits for the first result about its app before it says hello. Most apps are ready, and
	// then the hello need not say otherwise.
	firstLook = 250 * time.Millisecond
	// waitingEvery is the least time between two messages that say what the app waits for.
	waitingEvery = time.Second
	// startMargin is how long before the start timeout an instance gives up the app, so that its cause arrives first.
	startMargin = time.Second
	// unsaid stands for an app of which nothing is known yet.
	unsaid = "the app has not been asked yet"
)

// app is what an instance knows about an app that may not be ready. The zero value is an app that is ready.
type app struct {
	// what the app did last, for hellos; nil or empty: it is ready.
	what atomic.Pointer[string]

	// Owned by the loop.
	said  time.Time   // when the last waiting message was sent
	due   bool        // say is running
	say   *time.Timer // runs until the next waiting message may be sent
	limit *time.Timer // runs until the app is given up
}

func newApp() *app { return &app{say: stopped(), limit: stopped()} }

func (a *app) stopTimers() {
	a.say.Stop()
	a.limit.Stop()
}

// waiting is what the app did last; empty once it is ready.
func (a *app) waiting() string {
	if what := a.what.Load(); what != nil {
		return *what
	}
	return ""
}

func (a *app) set(what string) {
	what = wire.CutDetail(what)
	a.what.Store(&what)
}

// watchApp waits until the app is ready or has failed, or ctx ends, and tells the loop.
func (i *instance) watchApp(ctx context.Context) {
	err := i.config.Ready(ctx, func(what string) { i.post(ctx, event{kind: appWaits, what: what}) })
	if err != nil {
		i.post(ctx, event{kind: appFailed, err: err})
		return
	}
	i.post(ctx, event{kind: appReady})
}

func (i *instance) post(ctx context.Context, e event) {
	select {
	case i.events <- e:
	case <-ctx.Done():
	}
}

// glance waits up to firstLook for the first result about the app, so that the hello has it. It is called before the links run,
// so all events are about the app.
func (i *instance) glance(ctx context.Context) {
	i.app.set(unsaid)
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	select {
	case e := <-i.events:
		i.handle(e)
	case <-timer.C:
	case <-ctx.Done():
	}
}

// appWaits records what the app did last.
func (i *instance) appWaits(what string) {
	if i.ended || i.app.waiting() == "" || i.app.waiting() == what {
		return
	}
	i.app.set(what)
	i.sayWaitingSoon()
}

func (i *instance) sayWaitingSoon() {
	if !i.app.due {
		i.app.due = true
		i.app.say.Reset(time.Until(i.app.said.Add(waitingEvery)))
	}
}

// sayWaiting tells the relays what the app waits for.
func (i *instance) sayWaiting() {
	i.app.due, i.app.said = false, time.Now()
	if what := i.app.waiting(); what != "" {
		i.broadcast(wire.Message{Kind: wire.KindWaiting, Waiting: what}, nil)
	}
}

// appReady tells the relays that the app is ready, so that requests may come.
func (i *instance) appReady() {
	i.app.set("")
	i.app.limit.Stop()
	for _, l := range i.links {
		if l.control != nil && l.waits {
			i.sayReady(l)
		}
	}
	if i.up > 0 {
		i.begin()
	}
}

func (i *instance) sayReady(l *link) {
	l.waits = false
	_ = l.control.send(wire.Message{Kind: wire.KindReady, Left: l.left()}) // a failure closes the stream, and its link reports that
}

// startBy limits the app to the time that the relay says is left for the start, if it does.
func (i *instance) startBy(left time.Duration) {
	if left > 0 && i.app.waiting() != "" {
		i.app.limit.Reset(max(0, left-min(startMargin, left/5)))
	}
}

// giveUpApp ends the instance if its app is not ready yet, when no request can be in flight.
func (i *instance) giveUpApp(when string) {
	i.unready(fmt.Sprintf("the app was not ready when %s: %s", when, i.app.waiting()))
}

func (i *instance) unready(why string) {
	if !i.ended && i.app.waiting() != "" {
		i.reason, i.detail, i.ended = wire.ReasonAppUnhealthy, why, true
	}
}
