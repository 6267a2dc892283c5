package uplink

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

// A site is what a leader has of one relay for one term.
type site struct {
	// Static.
	name string
	term uint64
	sink Sink
	log  logrus.FieldLogger

	streams bucket.Bucket // guarded by the Leader's mutex

	turn sync.Mutex // held by the stream that may call the sink

	mu      sync.Mutex
	mirror  *tables.Mirror
	over    error                   // why no other stream may begin; nil: one may
	end     context.CancelCauseFunc // ends the last stream; nil before the first
	wake    chan struct{}           // of the last stream, which it also identifies
	answers []Registered
	asking  int
}

// with changes the mirror, and wakes the stream, because there may be something to send.
func (s *site) with(do func(*tables.Mirror)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.mirror)
	wake(s.wake)
}

// isAnothers tells whether a relay of the name is attached that is another process. One that has ended is not, two seconds after its host
// has fallen silent at the latest.
func (s *site) isAnothers(boot string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mirror.Attached() && s.mirror.Hello().Boot != boot
}

// enter ends the present stream, and waits for its last call of the sink. leave ends the turn.
func (s *site) enter(why error) (leave func()) {
	s.mu.Lock()
	if s.end != nil {
		s.end(why)
	}
	if why == ErrStandby {
		s.over = why
	}
	s.mu.Unlock()
	s.turn.Lock()
	return s.turn.Unlock
}

func (s *site) serves(instance string) (serves bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mirror.Serves(instance)
}

// replace tells the sink that what the relay had, and others have not, has ended, unless the relay has attached meanwhile.
func (s *site) replace(others func(instance string) bool) {
	if !s.turn.TryLock() {
		return
	}
	defer s.turn.Unlock()
	var events []tables.Event
	s.with(func(m *tables.Mirror) {
		if isGone(m, time.Now()) {
			events = m.Replace(others)
		}
	})
	if len(events) > 0 {
		s.log.WithField("instances", len(events)).Warn("the relay is gone, and another is there: its instances are given up")
		s.told(events)
	}
}

// serve serves a stream from its first message to its end. It calls tick now and then.
func (s *site) serve(ctx context.Context, stream Stream[Down, Up], greeting tables.Observed, tick func()) error {
	defer s.enter(ErrReplaced)()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	events, wake, err := s.attach(greeting, cancel)
	if err != nil {
		return err
	}
	s.log.WithFields(logrus.Fields{"boot": greeting.Hello.Boot, "build": greeting.Hello.Build}).Info("relay attached")
	s.sink.Attached(s.name, *greeting.Hello)
	s.told(events)
	pacer := newPacer()
	err = converse(ctx, stream, side[Down, Up]{
		pace: func(up *Up) time.Duration { return pacer.took(time.Now(), up.size) },
		next: func() *Down { return s.next(wake) }, wake: wake,
		tick: func() {
			s.with((*tables.Mirror).Ping)
			tick()
		},
		receive: func(up *Up) error { return s.receive(ctx, up) },
	})
	s.with(func(m *tables.Mirror) { events = m.Detach(ended(err)) })
	log := s.log
	if !Ours(err) {
		log = log.WithError(err)
	}
	log.Info("relay detached")
	s.sink.Detached(s.name, err)
	s.told(events)
	return err
}

// ended tells whether a stream has ended because its relay has, as far as that can be known. A relay that is silent may only have
// stalled.
func ended(err error) bool { return !errors.Is(err, ErrSilent) && !Ours(err) }

func (s *site) attach(greeting tables.Observed, end context.CancelCauseFunc) ([]tables.Event, chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return nil, nil, s.over
	}
	s.end, s.wake, s.answers = end, make(chan struct{}, 1), nil
	return s.mirror.Attach(greeting), s.wake, nil
}

// told passes events to the sink, and then lets the relay forget ends.
func (s *site) told(events []tables.Event) {
	if len(events) == 0 {
		return
	}
	s.sink.Told(s.name, events)
	s.with((*tables.Mirror).Taken)
}

func (s *site) receive(ctx context.Context, up *Up) error {
	for _, r := range up.Register {
		s.ask(ctx, r)
	}
	if up.Observed == nil {
		return nil
	}
	if up.Observed.Term > s.term+maxAhead {
		return ErrTerm
	}
	var events []tables.Event
	var err error
	s.with(func(m *tables.Mirror) { events, err = m.Receive(time.Now(), *up.Observed) })
	s.told(events)
	return err
}

// next returns the next message for a stream; nil if there is none, or if another stream has replaced it. Answers to
// registrations go last, after the relay was told to let the peers in.
func (s *site) next(stream chan struct{}) *Down {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stream != s.wake {
		return nil
	}
	if desired, ok := s.mirror.Next(time.Now()); ok {
		return &Down{Desired: &desired}
	}
	if len(s.answers) == 0 {
		return nil
	}
	var down Down
	down.Registered, s.answers = together(s.answers)
	return &down
}

// ask lets the sink answer a registration. If a relay has more than maxAsking under way, the rest get no answer.
func (s *site) ask(ctx context.Context, r Registration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking >= maxAsking {
		return
	}
	s.asking++
	go func() {
		invocation, err := s.sink.Register(ctx, s.name, r.Token, r.Registration)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asking--
		if ctx.Err() == nil {
			s.answers = append(s.answers, answerOf(r.Number, invocation, err))
			wake(s.wake)
		}
	}()
}
