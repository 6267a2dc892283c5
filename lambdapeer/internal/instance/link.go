package instance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/backoff"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/tunnel"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// redialPause is the pause between two attempts to reach one relay.
var redialPause = backoff.Backoff{Least: 20 * time.Millisecond, Most: time.Second, Steady: 5 * time.Second}

// A link keeps a control stream and idle tunnels to one relay, and dials them again when they are lost. It tells the instance's
// loop what happens, and decides nothing.
type link struct {
	dialer   *tunnel.Dialer
	hello    wire.Message
	waiting  func() string // what the app waits for; empty: nothing
	deadline time.Time     // of the invocation; zero: none
	timeout  time.Duration // of one attempt, until the relay was reached
	serve    func(*tunnel.Conn)
	events   chan<- event
	tunnels  tunnels // in service

	reached bool // owned by run: a control stream was up, or the relay answered a registration

	// Owned by the instance's loop.
	control *control  // nil: down
	gone    bool      // the relay refuses us for good
	load    int       // last reported number in flight
	answers int64     // last reported
	errors  int64     // last reported
	told    time.Time // when these were reported
	waits   bool      // the relay was told that the app is not ready, and not yet that it is
	err     error     // why it is down
}

// An event is what a link tells the loop.
type event struct {
	link    *link
	kind    eventKind
	control *control     // up
	message wire.Message // message
	what    string       // the app waits
	err     error        // down, the app failed
}

type eventKind uint8

const (
	linkUp      eventKind = iota // welcomed; a tunnel is up, or is being dialled if the relay was reached before
	linkMessage                  // the relay has sent a message
	linkDown                     // an attempt failed, or the control stream was lost
	linkGone                     // like linkDown, without another attempt
	appWaits                     // the app is not ready
	appReady                     // the app takes requests
	appFailed                    // the app did not become ready in time
)

// tell passes an event to the loop, unless ctx has ended, because then the loop does not listen any more.
func (l *link) tell(ctx context.Context, e event) {
	e.link = l
	select {
	case l.events <- e:
	case <-ctx.Done():
	}
}

// run blocks until ctx ends or the relay refuses the instance for good. Then it closes the tunnels. Until then a tunnel that
// carries a request outlives the loss of its control stream.
func (l *link) run(ctx context.Context) {
	defer l.tunnels.closeAll()
	pause := redialPause
	for ctx.Err() == nil {
		stood, err := l.attempt(ctx)
		if permanent(err) {
			l.tell(ctx, event{kind: linkGone, err: err})
			return
		}
		l.tell(ctx, event{kind: linkDown, err: err})
		pause.Stood(stood)
		pause.Sleep(ctx)
	}
}

// permanent tells whether the relay refuses this instance for good.
func permanent(err error) bool {
	var refused *tunnel.RefusedError
	return errors.As(err, &refused) && refused.Permanent() || errors.Is(err, errHelloRefused)
}

// attempt connects, serves until the control stream ends, and returns how long that was up.
func (l *link) attempt(ctx context.Context) (time.Duration, error) {
	s, err := l.connect(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	l.reached = true
	l.tunnels.doubt()
	l.tell(ctx, event{kind: linkUp, control: s.control})
	err = s.run(ctx)
	l.dialer.Lost(err)
	return time.Since(began), err
}

// connect opens the control stream and the first tunnel.
func (l *link) connect(ctx context.Context) (*session, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	if l.reached {
		return l.reconnect(ctx)
	}
	return l.connectBoth(ctx, cancel)
}

// bound limits an attempt. A relay that has let in one of the connections gets more time, because it counts the instance as up as
// soon as it has sent its other answers, and requests may be on their way. So does a relay that was reached before.
func (l *link) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	long := busyPatience * l.timeout
	ctx, end := context.WithTimeoutCause(ctx, long, noAnswer(long))
	if l.reached {
		return ctx, end
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	first := time.AfterFunc(l.timeout, func() {
		if !l.dialer.Answered() {
			giveUp(noAnswer(l.timeout))
		}
	})
	return ctx, func() {
		first.Stop()
		giveUp(nil)
		end()
	}
}

func noAnswer(d time.Duration) error { return fmt.Errorf("no answer within %v", d) }

// reconnect connects again after a loss. Thousands of peers may have lost the relay at the same moment. Dialling one connection
// after the other halves the number that wait at once, and the second one resumes the first one's TLS session. Meanwhile the
// control stream is enough for the relay to keep the instance.
func (l *link) reconnect(ctx context.Context) (*session, error) {
	c, err := openControl(ctx, l.dialer, l.greeting())
	if err != nil {
		return nil, err
	}
	return &session{link: l, control: c}, nil
}

// connectBoth opens both at once, so that the first request can come a round trip or two sooner. The relay expects the instance, so
// neither needs the other.
func (l *link) connectBoth(ctx context.Context, cancel context.CancelFunc) (*session, error) {
	var idle *tunnel.Conn
	var tunnelErr error
	var dialled sync.WaitGroup
	dialled.Go(func() {
		if idle, tunnelErr = l.dialer.Dial(ctx, wire.TunnelPath); tunnelErr != nil {
			cancel()
		}
	})
	c, controlErr := openControl(ctx, l.dialer, l.greeting())
	if controlErr != nil {
		cancel()
	}
	dialled.Wait()
	if controlErr == nil && tunnelErr == nil {
		return &session{link: l, control: c, idle: idle}, nil
	}
	if c != nil {
		c.close()
	}
	if idle != nil {
		idle.Close()
	}
	return nil, firstCause(controlErr, tunnelErr)
}

// greeting is the hello for now.
func (l *link) greeting() wire.Message {
	m := l.hello
	m.Left, m.Waiting = l.left(), l.waiting()
	return m
}

// left is the time until the invocation's deadline; 0 without one.
func (l *link) left() wire.Millis {
	if l.deadline.IsZero() {
		return 0
	}
	return wire.Millis(max(time.Millisecond, time.Until(l.deadline)))
}

// firstCause leaves out the error of the dial that was cancelled because the other one failed.
func firstCause(a, b error) error {
	if a == nil || b != nil && errors.Is(a, context.Canceled) {
		return b
	}
	return a
}

// A session is a link while it is up.
type session struct {
	link    *link
	control *control
	idle    *tunnel.Conn // the first tunnel; nil: it must be dialled
	keeping sync.WaitGroup

	mu      sync.Mutex // guards the field below
	keepers int
}

// run serves the relay until its control stream or ctx ends, closes idle tunnels, and returns why it ended.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, s.control.close)
	defer stop()
	s.keeping.Go(func() { s.begin(ctx, cancel) })
	err := s.listen(ctx)
	cancel(err)
	s.control.close()
	s.keeping.Wait()
	return context.Cause(ctx)
}

// begin starts the first keeper. If there is no tunnel yet it dials one first, for as long as a busy relay may take.
func (s *session) begin(ctx context.Context, fail context.CancelCauseFunc) {
	if s.idle != nil {
		s.addKeeper(ctx, fail, s.idle)
		return
	}
	limit := busyPatience * s.link.timeout
	dialling, cancel := context.WithTimeoutCause(ctx, limit, noAnswer(limit))
	defer cancel()
	pause := redialPause
	conn, err := s.link.dialer.Dial(dialling, wire.TunnelPath)
	for err != nil && !permanent(err) && pause.Sleep(dialling) {
		conn, err = s.link.dialer.Dial(dialling, wire.TunnelPath)
	}
	if err != nil {
		fail(fmt.Errorf("tunnel: %w", err))
		return
	}
	s.addKeeper(ctx, fail, conn)
}

// listen passes on the relay's messages until the control stream ends.
func (s *session) listen(ctx context.Context) error {
	for {
		m, err := s.control.receive()
		if err != nil {
			return fmt.Errorf("control stream: %w", err)
		}
		s.link.tell(ctx, event{kind: linkMessage, message: m})
	}
}

// addKeeper starts one more keeper, which begins with conn unless that is nil. There are at most as many as a relay accepts idle
// tunnels.
func (s *session) addKeeper(ctx context.Context, fail context.CancelCauseFunc, conn *tunnel.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keepers < wire.MaxIdleTunnels {
		s.keepers++
		s.keeping.Go(func() { s.keep(ctx, fail, conn) })
	}
}

// leave ends a keeper unless it is the last, and tells whether it did.
func (s *session) leave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keepers == 1 {
		return false
	}
	s.keepers--
	return true
}

// keep is a keeper: it always has one tunnel idle or being dialled. As soon as the first byte arrives, the tunnel is served and
// the next one dialled. If a tunnel was used sooner than another can be dialled, more connections wait than tunnels come. Then
// keep adds a keeper, so that their number doubles in each round of a burst. If the relay refuses or closes a tunnel, its keeper
// ends, unless it is the last. keep calls fail if the relay refuses tunnels for good.
func (s *session) keep(ctx context.Context, fail context.CancelCauseFunc, conn *tunnel.Conn) {
	pause := redialPause
	for {
		began := time.Now()
		late, err := s.next(ctx, conn)
		conn = nil
		switch {
		case ctx.Err() != nil:
			return
		case permanent(err):
			fail(fmt.Errorf("tunnel: %w", err))
			return
		case err != nil && s.leave():
			return
		case err != nil:
			pause.Stood(time.Since(began))
			pause.Sleep(ctx)
		default:
			pause.Reset()
			if late {
				s.addKeeper(ctx, fail, nil)
			}
		}
	}
}

// next dials a tunnel unless it has one, waits for its first byte, and lets it be served. late tells that the byte came sooner than
// another tunnel can be dialled.
func (s *session) next(ctx context.Context, conn *tunnel.Conn) (late bool, err error) {
	began := time.Now()
	stood := began
	if conn == nil {
		if conn, err = s.dial(ctx); err != nil {
			return false, err
		}
		stood = time.Now()
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = conn.Await()
	if !stop() || err != nil {
		conn.Close()
		return false, err
	}
	late = time.Since(stood) < stood.Sub(began)
	s.link.tunnels.add(conn)
	s.link.serve(conn)
	return late, nil
}

func (s *session) dial(ctx context.Context) (*tunnel.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.link.timeout, noAnswer(s.link.timeout))
	defer cancel()
	return s.link.dialer.Dial(ctx, wire.TunnelPath)
}
