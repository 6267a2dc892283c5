package instance

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// firstLook is how long an instance waits for the first word about its app before it says hello: most apps are ready, and
	// their hello need not say that they are not.
	firstLook = 250 * time.Millisecond
	// waitingEvery is the least time between two messages that say what the app is waited for.
	waitingEvery = time.Second
	// startMargin is how long before its start is given up an instance gives up the app, so that the cause gets there first.
	startMargin = time.Second
	// unsaid stands for an app of which nothing is known yet.
	unsaid = "the app has not been asked yet"
)

// app is what an instance knows of an app that may not be ready. The zero value is one that is.
type app struct {
	// what it did last, for links that say hello; nil or empty: it is ready.
	what atomic.Pointer[string]

	// Owned by the loop.
	said  time.Time   // last
	due   bool        // say runs
	say   *time.Timer // runs until what is new may be said
	limit *time.Timer // runs while the start may be given up
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

// watchApp follows the app until it is ready or has failed, or ctx ends, and tells the loop.
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

// glance waits for the first word about the app, though not for long, so that a hello says what there is to say. It is
// called before the links run: nobody else tells anything yet.
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

// appWaits takes note of what the app did last.
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

// sayWaiting tells the relays what the app is waited for.
func (i *instance) sayWaiting() {
	i.app.due, i.app.said = false, time.Now()
	if what := i.app.waiting(); what != "" {
		i.broadcast(wire.Message{Kind: wire.KindWaiting, Waiting: what}, nil)
	}
}

// appReady lets requests come.
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
	_ = l.control.send(wire.Message{Kind: wire.KindReady, Left: l.left()}) // a failure closes it, and its link tells
}

// startBy gives the app as long as the relay gives the start, if that is known and less than before.
func (i *instance) startBy(left time.Duration) {
	if left > 0 && i.app.waiting() != "" {
		i.app.limit.Reset(max(0, left-min(startMargin, left/5)))
	}
}

// giveUpApp ends the instance if its app is not ready yet. Nothing is in flight then.
func (i *instance) giveUpApp(when string) {
	i.unready(fmt.Sprintf("the app was not ready when %s: %s", when, i.app.waiting()))
}

func (i *instance) unready(why string) {
	if !i.ended && i.app.waiting() != "" {
		i.reason, i.detail, i.ended = wire.ReasonAppUnhealthy, why, true
	}
}
