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

// redialPause is what lies between two attempts to reach one relay.
var redialPause = backoff.Backoff{Least: 20 * time.Millisecond, Most: time.Second, Steady: 5 * time.Second}

// A link keeps one relay reached: a control stream and an idle tunnel, dialled again when they are lost. It tells the
// instance's loop what happens and decides nothing.
type link struct {
	dialer   *tunnel.Dialer
	hello    wire.Message
	deadline time.Time     // of the invocation; zero: none
	timeout  time.Duration // of one attempt
	serve    func(*tunnel.Conn)
	events   chan<- event

	// Owned by the instance's loop.
	control *control // nil: down
	gone    bool     // the relay refuses us for good
	load    int      // last reported
	err     error    // why it is down
}

// An event is what a link tells the loop.
type event struct {
	link    *link
	kind    eventKind
	control *control     // up
	message wire.Message // message
	err     error        // down
}

type eventKind uint8

const (
	linkUp      eventKind = iota // welcomed, and a tunnel stands
	linkMessage                  // the relay said something
	linkDown                     // an attempt failed, or what stood was lost
	linkGone                     // like linkDown, and there will be no other attempt
)

// tell hands the loop an event, unless ctx ended, after which the loop listens no more.
func (l *link) tell(ctx context.Context, e event) {
	e.link = l
	select {
	case l.events <- e:
	case <-ctx.Done():
	}
}

// run blocks until ctx ends or the relay refuses the instance for good. redial is cancelled when a lost relay should not
// be tried again.
func (l *link) run(ctx, redial context.Context) {
	pause := redialPause
	for ctx.Err() == nil {
		stood, err := l.attempt(ctx)
		if permanent(err) {
			l.tell(ctx, event{kind: linkGone, err: err})
			return
		}
		l.tell(ctx, event{kind: linkDown, err: err})
		pause.Stood(stood)
		if !pause.Sleep(redial) {
			return
		}
	}
}

// permanent tells whether the relay will not have this instance, however often it asks.
func permanent(err error) bool {
	var refused *tunnel.RefusedError
	return errors.As(err, &refused) && refused.Permanent() || errors.Is(err, errHelloRefused)
}

// attempt connects, serves until the control stream ends, and returns how long that stood.
func (l *link) attempt(ctx context.Context) (time.Duration, error) {
	s, err := l.connect(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	l.tell(ctx, event{kind: linkUp, control: s.control})
	err = s.run(ctx)
	return time.Since(began), err
}

// connect opens the control stream and the first tunnel at once: the relay expects the instance, so that neither needs
// the other, and the first request comes a round trip or two sooner.
func (l *link) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, fmt.Errorf("no answer within %v", l.timeout))
	defer cancel()
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
		return &session{link: l, control: c, idle: idle, open: map[*tunnel.Conn]struct{}{}}, nil
	}
	if c != nil {
		c.close()
	}
	if idle != nil {
		idle.Close()
	}
	return nil, firstCause(controlErr, tunnelErr)
}

// greeting is the hello with the time that is left now.
func (l *link) greeting() wire.Message {
	m := l.hello
	if !l.deadline.IsZero() {
		m.Left = wire.Millis(max(time.Millisecond, time.Until(l.deadline)))
	}
	return m
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
	idle    *tunnel.Conn // owned by keep

	mu   sync.Mutex // guards the field below
	open map[*tunnel.Conn]struct{}
}

// run serves the relay until its control stream ends or ctx does, closes what belongs to it, and returns why.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, s.control.close)
	defer stop()
	var keeping sync.WaitGroup
	keeping.Go(func() { s.keep(ctx, cancel) })
	err := s.listen(ctx)
	cancel(err)
	s.control.close()
	keeping.Wait()
	if s.idle != nil {
		s.idle.Close() // ctx had ended before keep began
	}
	s.closeAll()
	return context.Cause(ctx)
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

// keep always has one idle tunnel open: as soon as its first byte arrives it is served, and the next one dialled. It ends
// the session by fail when the relay will have no more of them.
func (s *session) keep(ctx context.Context, fail context.CancelCauseFunc) {
	pause := redialPause
	for ctx.Err() == nil {
		began := time.Now()
		err := s.await(ctx)
		if permanent(err) {
			fail(fmt.Errorf("tunnel: %w", err))
			return
		}
		if err == nil {
			pause.Reset()
			continue
		}
		pause.Stood(time.Since(began))
		pause.Sleep(ctx)
	}
}

// await dials the idle tunnel, unless it stands, waits for its first byte and has it served.
func (s *session) await(ctx context.Context) error {
	if s.idle == nil {
		attempt, cancel := context.WithTimeoutCause(ctx, s.link.timeout, fmt.Errorf("no answer within %v", s.link.timeout))
		defer cancel()
		conn, err := s.link.dialer.Dial(attempt, wire.TunnelPath)
		if err != nil {
			return err
		}
		s.idle = conn
	}
	conn := s.idle
	s.idle = nil
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := conn.Await()
	if !stop() || err != nil {
		conn.Close()
		return err
	}
	s.hand(conn)
	return nil
}

// hand has the tunnel served and remembers it until it is closed.
func (s *session) hand(conn *tunnel.Conn) {
	s.mu.Lock()
	s.open[conn] = struct{}{}
	s.mu.Unlock()
	conn.OnClose(func() {
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	})
	s.link.serve(conn)
}

func (s *session) closeAll() {
	s.mu.Lock()
	open := make([]*tunnel.Conn, 0, len(s.open))
	for conn := range s.open {
		open = append(open, conn)
	}
	s.mu.Unlock()
	for _, conn := range open {
		conn.Close()
	}
}
