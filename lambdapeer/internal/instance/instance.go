// Package instance serves one invocation. It dials the relays, answers requests on their tunnels, drains, and reports. When Serve
// returns, no goroutine, connection or timer of the instance is left, so that the environment may be frozen.
package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/serial"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/tunnel"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// quiet is how long no request must have been in flight before a drain ends by itself, because a request that was leased
	// just before it may still be on its way. If the relay has said that none is, the drain does not wait, because time is
	// billed.
	quiet = 30 * time.Millisecond
	// confirmWait is how long a drain by the peer's own decision waits for the control plane to say that no lease is out any
	// more.
	confirmWait = time.Second
	// busyPatience is how many more dial timeouts to wait, once, for a relay that is there but busy: after a restart it must
	// answer thousands. Attempts are not given up before that, because new ones would make it busier.
	busyPatience = 20
	// loadEvery is the least time between two load messages.
	loadEvery = 100 * time.Millisecond
	// countsEvery is the least time between two load messages that only tell about answers without errors.
	countsEvery = time.Second
)

// Config says what to serve.
type Config struct {
	Invocation    wire.Invocation // valid, and trusted
	Relays        trust.Relays    // the relays that may be dialled
	Features      wire.Features   // of this peer's settings, beside those of its build
	Deadline      time.Time       // of the invocation; zero: none
	Environment   string
	Version       string // of the function's code; empty: not known
	RequestID     string // Lambda's, of the invocation; empty: not known
	LogStream     string // of the function's log; empty: not known
	Cold          bool
	Handler       http.Handler
	Logger        *slog.Logger
	ShutdownLimit time.Duration // the drain limit when ctx ends, if that is shorter; 0: the usual one

	// Ready blocks until the app takes requests. Meanwhile it calls say with what it waits for, when that changes. An error
	// ends the instance as unhealthy. Nil: the app takes requests. It is only for control planes with wire.FeatureEarlyHello.
	Ready func(ctx context.Context, say func(what string)) error

	// Wear watches the environment over its instances. Nil: it is not watched. It is only for control planes with
	// wire.FeatureWear.
	Wear *wear.Gauge

	// Registered says that the peer has registered by itself: a relay was there a moment ago, and nobody is billed while it is busy.
	Registered bool

	// Watch finds out, over the instances of an environment, whether the app serves one request at a time. Nil: this is not
	// watched.
	Watch *serial.Watch
}

// A Stop is a cause with which to cancel Serve's context, for a reason other than wire.ReasonShutdown.
type Stop struct {
	Reason wire.Reason
	Detail string
}

// Error implements error.
func (s *Stop) Error() string { return fmt.Sprintf("%s: %s", s.Reason, s.Detail) }

// Serve blocks for the life of the instance and returns how it ended. When ctx ends it drains.
func Serve(ctx context.Context, c Config) wire.Report {
	i, err := newInstance(c)
	if err != nil {
		return wire.Report{
			Version: wire.Version, Instance: c.Invocation.Instance,
			Reason: wire.ReasonRelayUnreachable, Detail: wire.CutDetail(err.Error()),
		}
	}
	return i.run(ctx)
}

// An instance is one loop that makes all decisions. Links, tunnels and requests only tell it what has happened.
type instance struct {
	config  Config
	log     *slog.Logger
	server  *server
	traffic tunnel.Traffic
	links   []*link
	events  chan event
	app     *app
	schedule

	// Owned by the loop.
	up        int       // links with a control stream
	reached   bool      // a link has been up
	since     time.Time // when it was first welcomed and its app ready; zero: not yet
	draining  bool
	reason    wire.Reason
	detail    string
	ended     bool
	cut       bool        // requests were in flight at the drain's limit
	loadAt    time.Time   // when load was last reported
	countsDue bool        // the load timer runs only for counts of answers
	loadDue   bool        // the load timer runs
	dial      *time.Timer // runs while no link is up
	patient   bool        // dial was restarted for a busy relay
	told      bool        // a relay has said that no request is on its way any more
	released  bool        // no new request is expected any more, except within the quiet time
	quiet     *time.Timer // runs while draining
	confirm   *time.Timer // runs while draining by our own decision, until released
	limit     *time.Timer // runs while draining
	limitAt   time.Time   // when limit fires
	linger    *time.Timer // runs while draining with nothing in flight, until the linger time is over
	load      *time.Timer
	serial    bool        // the app was found to serve one request at a time
	worn      wire.Notice // why the environment is; empty: it is not
	wornAt    time.Time
	wearing   *time.Timer // until the environment is looked at again; does not run where nobody does
	wearSoon  bool
}

var notice = wire.Message{Kind: wire.KindNotice, Notice: wire.NoticeSerialApp}

func newInstance(c Config) (*instance, error) {
	i := &instance{
		config:   c,
		log:      c.Logger.With("instance", c.Invocation.Instance),
		events:   make(chan event),
		app:      newApp(),
		schedule: newSchedule(c.Invocation, c.Deadline, time.Now()),
		quiet:    stopped(),
		confirm:  stopped(),
		limit:    stopped(),
		linger:   stopped(),
		load:     stopped(),
		wearing:  stopped(),
	}
	i.server = newServer(c)
	hello := wire.Message{
		Kind: wire.KindHello, Version: wire.Version, Instance: c.Invocation.Instance,
		Environment: c.Environment, Slots: c.Invocation.Concurrency, Cold: c.Cold,
		FunctionVersion: c.Version, RequestID: c.RequestID, LogStream: c.LogStream, Build: wire.Build(), Features: wire.PeerFeatures(),
	}
	hello.Features = append(hello.Features, c.Features...)
	for _, relay := range c.Invocation.Relays {
		d, err := tunnel.NewDialer(relay, c.Invocation.Token, c.Relays.Control(relay.Address), &i.traffic)
		if err != nil {
			return nil, err
		}
		d.ConnectLimit = i.dialTimeout
		i.links = append(i.links, &link{
			dialer: d, hello: hello, waiting: i.app.waiting, deadline: c.Deadline, timeout: i.dialTimeout, serve: i.server.tunnels.hand, events: i.events, reached: c.Registered,
		})
	}
	return i, nil
}

// stopped returns a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// run starts everything, loops, and stops everything. The order of the end is: first tunnels are told to go away, while the control
// streams are still up or may come back, so that the relay loses no request. Then goodbye. Then the links end, which closes every
// connection. Last it waits for the remaining handlers.
func (i *instance) run(ctx context.Context) wire.Report {
	linked, unlink := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if i.config.Ready != nil {
		running.Go(func() { i.watchApp(linked) })
		i.glance(ctx)
	}
	for _, l := range i.links {
		running.Go(func() { l.run(linked) })
	}
	i.server.start()
	i.loop(ctx)
	if !i.cut {
		i.server.retire(i.limitAt)
	}
	report := i.report()
	i.broadcast(wire.Message{Kind: wire.KindGoodbye, Reason: report.Reason, Report: &report}, nil)
	unlink()
	running.Wait()
	if left := i.server.close(); left > 0 {
		i.log.Warn("handlers ignored the end of their requests", "count", left)
	}
	return report
}

// loop runs until the instance has ended.
func (i *instance) loop(ctx context.Context) {
	i.dial = time.NewTimer(i.dialTimeout)
	deadline := stopped()
	if !i.drainAt.IsZero() {
		deadline.Reset(time.Until(i.drainAt))
	}
	defer func() {
		for _, t := range []*time.Timer{i.dial, deadline, i.quiet, i.confirm, i.limit, i.linger, i.load, i.wearing} {
			t.Stop()
		}
		i.app.stopTimers()
	}()
	i.server.gate.Arm()
	if i.config.Wear != nil {
		i.wearing.Reset(0)
	}
	stop := ctx.Done()
	found := i.config.Watch.Found()
	for !i.ended {
		select {
		case <-stop:
			stop = nil
			i.stop(context.Cause(ctx))
		case <-deadline.C:
			i.giveUpApp("its invocation's deadline came near")
			i.drain(wire.ReasonDeadline, "", nil)
		case <-i.app.limit.C:
			i.giveUpApp("its start was about to be given up")
		case <-i.app.say.C:
			i.sayWaiting()
		case <-found:
			found, i.serial = nil, true
			i.log.Warn("the app serves one request at a time: more than one slot is of no use to it")
			i.broadcast(notice, nil)
		case e := <-i.events:
			i.handle(e)
		case <-i.dial.C:
			i.unreachable()
		case <-i.server.gate.Changed():
			i.changed()
		case <-i.load.C:
			i.reportLoad()
		case <-i.wearing.C:
			i.lookAtWear()
		case <-i.quiet.C:
			i.ended = i.released && i.done() // otherwise the next change starts the timer again
		case <-i.linger.C:
			i.lingered()
		case <-i.confirm.C:
			i.release()
		case <-i.limit.C:
			i.timeUp()
		}
	}
}

// stop drains because the context ended.
func (i *instance) stop(cause error) {
	reason, detail := wire.ReasonShutdown, ""
	var s *Stop
	if errors.As(cause, &s) {
		reason, detail = s.Reason, s.Detail
	}
	if reason == wire.ReasonAppExited {
		i.server.gate.Shut() // what comes until this is heard goes elsewhere
	}
	i.drain(reason, detail, nil)
	if i.config.ShutdownLimit > 0 {
		i.limitIn(min(i.config.ShutdownLimit, i.drainFor(time.Now())))
	}
}

func (i *instance) handle(e event) {
	switch e.kind {
	case linkUp:
		i.linkUp(e)
	case linkMessage:
		if e.message.Kind == wire.KindDrain {
			i.told = true
			i.drain(e.message.Reason, e.message.Detail, e.link)
			i.release()
		}
	case linkDown, linkGone:
		i.linkDown(e.link, e.kind == linkGone, e.err)
	case appWaits:
		i.appWaits(e.what)
	case appReady:
		i.appReady()
	case appFailed:
		i.unready(e.err.Error())
	}
}

func (i *instance) linkUp(e event) {
	l, c := e.link, e.control
	l.control, l.load, l.answers, l.err, l.waits = c, 0, 0, nil, c.waiting != ""
	i.up++
	i.reached = true
	i.dial.Stop()
	i.patient = false
	switch {
	case i.app.waiting() != "":
		i.startBy(c.startLeft)
		if i.app.waiting() != c.waiting {
			i.sayWaitingSoon()
		}
	case l.waits:
		i.sayReady(l)
		i.begin()
	default:
		i.begin()
	}
	if i.draining {
		_ = c.send(wire.Message{Kind: wire.KindDrain, Reason: i.reason})
	}
	if i.serial {
		_ = c.send(notice)
	}
	if i.worn != "" {
		_ = c.send(wire.Message{Kind: wire.KindNotice, Notice: i.worn})
	}
	i.changed()
}

// begin records the time from which requests may come.
func (i *instance) begin() {
	if i.since.IsZero() {
		i.since = time.Now()
		i.log.Debug("instance up")
	}
}

func (i *instance) linkDown(l *link, gone bool, err error) {
	l.gone, l.err = gone, err
	if l.control != nil {
		l.control = nil
		i.up--
		i.log.Warn("relay lost", "error", err)
		if i.up == 0 {
			i.dial.Reset(2 * i.dialTimeout) // the first attempt may fail because the network is still down
		}
	}
	switch {
	case i.up > 0:
	case i.draining && i.server.gate.InFlight() == 0:
		i.released = true // no relay is left that could send a request
		i.ended = i.done()
	case i.allGone():
		i.end(wire.ReasonRefused)
	}
}

func (i *instance) allGone() bool {
	for _, l := range i.links {
		if !l.gone {
			return false
		}
	}
	return true
}

// unreachable ends the instance, because no link was up for the dial timeout, or for twice that after one was lost. A relay that is
// there gets more time once, because it may have thousands of peers to answer.
func (i *instance) unreachable() {
	switch {
	case !i.draining && !i.patient && slices.ContainsFunc(i.links, i.there):
		i.patient = true
		i.dial.Reset(busyPatience * i.dialTimeout)
	case i.draining && i.server.gate.InFlight() == 0:
		i.released = true
		i.ended = i.done()
	case i.draining:
		i.timeUp()
	case !i.reached:
		i.end(wire.ReasonRelayUnreachable)
	default:
		i.end(wire.ReasonRelayLost)
	}
}

// there tells whether a link's relay is there. One that was never heard of must have let a connection in, because an accepted TCP
// connection says little.
func (i *instance) there(l *link) bool {
	if i.reached || i.config.Registered {
		return l.dialer.Alive()
	}
	return l.dialer.Answered()
}

// end ends the instance because it has no relay. The detail has the errors of the links.
func (i *instance) end(reason wire.Reason) {
	var causes []string
	for _, l := range i.links {
		if l.err != nil {
			causes = append(causes, l.err.Error())
		}
	}
	if len(causes) == 0 {
		causes = append(causes, fmt.Sprintf("no relay answered within %v", i.dialTimeout))
	}
	i.reason, i.detail = reason, strings.Join(causes, "; ")
	if what := i.app.waiting(); what != "" && reason == wire.ReasonRefused {
		i.reason, i.detail = wire.ReasonAppUnhealthy, fmt.Sprintf("the app is not ready yet: %s; and it is too late: %s", what, i.detail)
	}
	if i.outlast() {
		return
	}
	i.ended, i.cut = true, true
}

// drain begins to drain. Only the first call counts. by is the link whose relay ordered it; nil: it is our own decision.
func (i *instance) drain(reason wire.Reason, detail string, by *link) {
	if i.draining || i.ended {
		return
	}
	i.draining, i.reason, i.detail = true, reason, detail
	i.log.Debug("draining", "reason", reason, "in_flight", i.server.gate.InFlight())
	i.broadcast(wire.Message{Kind: wire.KindDrain, Reason: reason, Detail: wire.CutDetail(detail)}, by)
	if (i.up == 0 || i.app.waiting() != "") && i.done() {
		i.ended = true
		return
	}
	left := i.drainFor(time.Now())
	i.limitIn(left)
	if by == nil {
		i.confirm.Reset(min(confirmWait, left/2))
	}
	i.changed()
}

// timeUp ends a drain at its limit.
func (i *instance) timeUp() {
	i.ended = true
	if n := i.server.gate.InFlight(); n > 0 {
		i.log.Warn("no time is left: requests are cut off", "in_flight", n)
		i.cut = true
	}
}

// release lets the drain end as soon as no request is in flight, because the control plane has said that no lease is out, or has
// not answered in time.
func (i *instance) release() {
	if !i.released {
		i.released = true
		i.changed()
	}
}

// limitIn sets how long the drain may take from now on.
func (i *instance) limitIn(d time.Duration) {
	i.limitAt = time.Now().Add(d)
	i.limit.Reset(d)
}

// broadcast sends m on every control stream except that of one link. A stream that fails is closed, and its link reports that.
func (i *instance) broadcast(m wire.Message, except *link) {
	for _, l := range i.links {
		if l.control == nil || l == except {
			continue
		}
		if err := l.control.send(m); err != nil {
			i.log.Debug("control stream", "kind", m.Kind, "error", err)
		}
	}
}

// changed handles a change of the number of requests in flight. It schedules a load message, and lets a drain end or wait for
// another quiet time.
func (i *instance) changed() {
	i.wears()
	if i.draining {
		i.server.gate.Arm()
		i.quiet.Reset(quiet)
		i.ended = i.ended || i.told && i.done()
	}
	if !i.loadDue {
		i.loadDue = true
		i.load.Reset(time.Until(i.loadAt.Add(loadEvery)))
	}
}

// reportLoad tells each relay how many requests are in flight, even if the number is the same as before, because silence means
// that none has begun, ended or been refused. If the number stays zero, it reports answers only every countsEvery, but errors
// soon: a version that only answers with errors must be noticed. It arms the gate first, so that no later change is missed.
func (i *instance) reportLoad() {
	i.loadDue, i.countsDue, i.loadAt = false, false, time.Now()
	i.server.gate.Arm()
	m := wire.Message{Kind: wire.KindLoad, InFlight: i.server.gate.InFlight()}
	m.Answers, m.Errors = i.server.gate.Answers()
	m.Requests, _ = i.server.gate.Counts() // after the answers, of which there are no more than requests
	if i.config.Wear != nil {
		m.Memory = i.config.Wear.Memory()
	}
	for _, l := range i.links {
		switch {
		case l.control == nil, m.InFlight == 0 && l.load == 0 && m.Answers == l.answers:
		case m.InFlight == 0 && l.load == 0 && m.Errors == l.errors && i.loadAt.Sub(l.told) < countsEvery:
			i.countsDue = true
		default:
			l.load, l.answers, l.errors, l.told = m.InFlight, m.Answers, m.Errors, i.loadAt
			_ = l.control.send(m) // a failure closes the stream, and its link reports that
		}
	}
	if i.countsDue {
		i.load.Reset(countsEvery) // a change before that resets it
	}
}

func (i *instance) report() wire.Report {
	requests, refused := i.server.gate.Counts()
	r := wire.Report{
		Version: wire.Version, Instance: i.config.Invocation.Instance,
		Reason: i.reason, Detail: wire.CutDetail(i.detail),
		Requests: requests, Refused: refused,
		BytesIn: i.traffic.In.Load(), BytesOut: i.traffic.Out.Load(),
		Worn: i.endsWorn(requests),
	}
	if !i.since.IsZero() {
		r.Served = wire.Millis(time.Since(i.since).Truncate(time.Millisecond))
	}
	return r
}
