package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	soon  = 10 * time.Second
	often = time.Millisecond
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is a log that nobody reads.
func quiet(t *testing.T) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(t.Output())
	return log
}

// A listener is a Sink that writes down what it is told.
type listener struct {
	mu     sync.Mutex
	events []string
	answer func(token string) (wire.Invocation, error)
}

func (l *listener) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, fmt.Sprintf(format, args...))
}

func (l *listener) Attached(relay string, _ tables.Hello) { l.note("attached %s", relay) }
func (l *listener) Detached(relay string, _ error)        { l.note("detached %s", relay) }

func (l *listener) Told(_ string, events []tables.Event) {
	for _, e := range events {
		switch e := e.(type) {
		case tables.Expected:
			l.note("expected %s", e.Instance)
		case tables.Inherited:
			l.note("inherited %s %s", e.ID, e.Memo)
		case tables.Up:
			l.note("up %s %d", e.Instance, e.Slots)
		case tables.Load:
			l.note("load %s %d", e.Instance, e.InFlight)
		case tables.Lost:
			l.note("lost %s", e.Instance)
		case tables.Down:
			l.note("down %s %s", e.Instance, e.End.Cause)
		case tables.Noted:
			l.note("noted %s", e.Text)
		case tables.Superseded:
			l.note("superseded by %d", e.Term)
		case tables.Synced:
			l.note("synced")
		}
	}
}

func (l *listener) Register(_ context.Context, _, token string, _ wire.Registration) (wire.Invocation, error) {
	return l.answer(token)
}

func (l *listener) heard(event string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.events, event)
}

func (l *listener) hears(t *testing.T, events ...string) {
	t.Helper()
	for _, event := range events {
		require.Eventually(t, func() bool { return l.heard(event) }, soon, often, "%s", event)
	}
}

// An obedient is the relay that the leader commands.
type obedient struct {
	mu   sync.Mutex
	done []string
}

func (o *obedient) do(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = append(o.done, fmt.Sprintf(format, args...))
}

func (o *obedient) Expect(e relays.Expectation)      { o.do("expect %s at %s", e.Instance, e.Endpoint) }
func (o *obedient) Drain(id string, why wire.Reason) { o.do("drain %s: %s", id, why) }
func (o *obedient) Forget(id string)                 { o.do("forget %s", id) }
func (o *obedient) does(t *testing.T, command string) {
	t.Helper()
	require.Eventually(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return slices.Contains(o.done, command)
	}, soon, often, "%s", command)
}

// A stack is one relay, with the control planes that it dials.
type stack struct {
	*Relay
	obedient
}

func newStack(t *testing.T, dials map[string]Dial) *stack {
	s := &stack{Relay: NewRelay(Options{Hello: tables.Hello{Relay: "pair", Boot: "b1"}, Dials: dials, Log: quiet(t)})}
	s.Connect(&s.obedient)
	t.Cleanup(running(s.Relay))
	return s
}

// running lets a relay run until the returned function is called.
func running(r *Relay) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// A plane is a control plane that leads a term.
type plane struct {
	listener
	*Leader
	end func()
}

// serve begins one on a unix socket.
func serve(t *testing.T, socket string, term uint64) *plane {
	p := &plane{}
	p.Leader = NewLeader(&p.listener, quiet(t))
	if term > 0 {
		p.Lead(term)
	}
	p.end = listen(t, socket, p.Leader)
	return p
}

// listen serves a leader on a unix socket until the returned function is called, or the test ends.
func listen(t testing.TB, socket string, leader *Leader) (end func()) {
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := grpc.NewServer(grpc.Creds(trust.Socket()), grpc.WaitForHandlers(true))
	leader.Register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	end = sync.OnceFunc(func() {
		server.Stop()
		<-done
	})
	t.Cleanup(end)
	return end
}

func (p *plane) want(id string) {
	p.Expect(tables.Expectation{Instance: id, Function: "web", Endpoint: "web/0001", Expires: tables.Micros(time.Minute), Memo: []byte("cold")})
}

// stacks run a test over gRPC and within one process.
func stacks(t *testing.T, test func(*testing.T, *plane, *stack)) {
	t.Run("socket", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		test(t, serve(t, socket, 1), newStack(t, map[string]Dial{"cp": To(socket, trust.Socket())}))
	})
	t.Run("one process", func(t *testing.T) {
		p := &plane{}
		p.Leader = NewLeader(&p.listener, quiet(t))
		p.Lead(1)
		t.Cleanup(p.Resign) // after the relay's end
		test(t, p, newStack(t, map[string]Dial{"cp": p.Here()}))
	})
}

func TestAnInstancesLifeIsToldAndItsWantsAreObeyed(t *testing.T) {
	stacks(t, func(t *testing.T, p *plane, s *stack) {
		p.hears(t, "attached pair", "synced")
		p.want("i1")
		s.does(t, "expect i1 at web/0001")
		p.hears(t, "expected i1")
		s.Up(relays.Up{Instance: "i1", Environment: "e", Slots: 10})
		s.Load("i1", relays.Load{InFlight: 3})
		p.hears(t, "up i1 10", "load i1 3")
		p.Drain("i1", wire.ReasonScaleIn)
		s.does(t, "drain i1: scale_in")
		s.Down("i1", nil, relays.ErrControlEnded)
		p.hears(t, "down i1 control_ended")
		require.Eventually(t, func() bool { return s.Status().Kept == 0 }, soon, often, "the relay keeps an end that was taken in")
		require.Eventually(t, func() bool { return !p.Relays()["pair"].Confirmed.IsZero() }, soon, often)
	})
}

func TestAnotherLeaderInheritsWhatStandsAndHearsWhatHasEnded(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	first := serve(t, socket, 1)
	s := newStack(t, map[string]Dial{"cp": To(socket, trust.Socket())})
	first.hears(t, "synced")
	for _, id := range []string{"i1", "i2"} {
		first.want(id)
		first.hears(t, "expected "+id)
		s.Up(relays.Up{Instance: id, Environment: "e", Slots: 10})
		first.hears(t, "up "+id+" 10")
	}
	first.Note(tables.Note{Function: "web", Term: 1, Number: 1, Text: []byte("learned")})
	require.Eventually(t, func() bool { return s.Status().Notes == 1 }, soon, often)
	first.end()
	s.Down("i2", nil, relays.ErrTooOften)
	second := serve(t, socket, 2)
	second.hears(t, "inherited i1 cold", "up i1 10", "inherited i2 cold", "down i2 too_often", "noted learned", "synced")
	second.Forget("i1")
	s.does(t, "forget i1")
}

// Two relays of one name, by mistake, must not end each other's streams again and again. The one that was there first stays, and the
// other one takes its place when it has gone.
func TestOfTwoRelaysOfOneNameOneIsAttached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := logtest.NewNullLogger()
		p := &plane{}
		p.Leader = NewLeader(&p.listener, log)
		p.Lead(1)
		relayOf := func(boot string) *Relay {
			return NewRelay(Options{Hello: tables.Hello{Relay: "pair", Boot: boot}, Dials: map[string]Dial{"cp": p.Here()}, Log: quiet(t)})
		}
		first := running(relayOf("b1"))
		synctest.Wait()
		second := running(relayOf("b2"))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"attached pair", "synced"}, p.events)
		require.Equal(t, "b1", p.Relays()["pair"].Hello.Boot)
		require.Equal(t, 1, warnings(said), "it is said once")
		first()
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, "b2", p.Relays()["pair"].Hello.Boot)
		require.True(t, p.Relays()["pair"].Synced)
		second()
		p.Resign()
	})
}

// A process that has both ends its leader first. Nothing is wrong with that.
func TestALeaderInTheSameProcessEndsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := logtest.NewNullLogger()
		p := &plane{}
		p.Leader = NewLeader(&p.listener, quiet(t))
		p.Lead(1)
		stop := running(NewRelay(Options{Hello: tables.Hello{Relay: "here", Boot: "b1"}, Dials: map[string]Dial{"here": p.Here()}, Log: log}))
		time.Sleep(time.Second)
		said.Reset()
		p.Resign()
		time.Sleep(time.Second)
		require.Empty(t, said.AllEntries())
		stop()
	})
}

func warnings(said *logtest.Hook) (n int) {
	for _, e := range said.AllEntries() {
		if e.Level <= logrus.WarnLevel {
			n++
		}
	}
	return n
}

func TestAStandbyRefusesUntilItLeads(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	leader, standby := serve(t, one, 1), serve(t, two, 0)
	s := newStack(t, map[string]Dial{"one": To(one, trust.Socket()), "two": To(two, trust.Socket())})
	leader.hears(t, "synced")
	leader.want("i1")
	leader.hears(t, "expected i1")

	leader.Resign()
	leader.hears(t, "detached pair")
	standby.Lead(2)
	standby.hears(t, "inherited i1 cold", "synced")
	// The first one believes in its term again, and is told.
	leader.Lead(1)
	leader.hears(t, "superseded by 2")
	leader.want("i2")
	standby.want("i3")
	s.does(t, "expect i3 at web/0001")
	s.obedient.mu.Lock()
	defer s.obedient.mu.Unlock()
	require.NotContains(t, s.done, "expect i2 at web/0001")
}

func TestPeersRegisterWithWhoeverLeads(t *testing.T) {
	stacks(t, func(t *testing.T, p *plane, s *stack) {
		blocked := make(chan struct{})
		p.answer = func(token string) (wire.Invocation, error) {
			switch token {
			case "good":
				p.want("i1")
				return wire.Invocation{
					Version: wire.Version, Instance: "i1", Function: "web", Token: "t", Concurrency: 1,
					Relays: []wire.Relay{{Address: "127.0.0.1:1"}},
				}, nil
			case "slow":
				<-blocked
			}
			return wire.Invocation{}, fmt.Errorf("hm: %w", relays.ErrUnauthorized)
		}
		p.hears(t, "synced")
		registration := wire.Registration{Version: wire.Version, Function: "web", Environment: "e"}
		got, err := s.Register(t.Context(), "good", registration)
		require.NoError(t, err)
		require.Equal(t, "i1", got.Instance)
		s.does(t, "expect i1 at web/0001")
		_, err = s.Register(t.Context(), "bad", registration)
		require.ErrorIs(t, err, relays.ErrUnauthorized)

		failed := make(chan error)
		go func() {
			_, err := s.Register(t.Context(), "slow", registration)
			failed <- err
		}()
		require.Eventually(t, func() bool {
			s.Relay.mu.Lock()
			defer s.Relay.mu.Unlock()
			return len(s.asking) == 1
		}, soon, often)
		p.Resign()
		require.ErrorIs(t, <-failed, ErrNoLeader)
		close(blocked)
		_, err = s.Register(t.Context(), "good", registration)
		require.ErrorIs(t, err, ErrNoLeader)
	})
}

// All peers of a function register at once after a restart: their registrations, and the answers, travel together.
func TestManyRegistrationsAreFewMessages(t *testing.T) {
	all := make([]Registration, 3*maxTogether+1)
	for n := range all {
		all[n].Number = uint64(n)
	}
	var got []Registration
	messages := 0
	for left := all; len(left) > 0; messages++ {
		var first []Registration
		first, left = together(left)
		got = append(got, first...)
	}
	require.Equal(t, all, got)
	require.Equal(t, 4, messages)
	tooMany := Up{Register: all}
	require.ErrorContains(t, tooMany.Validate(), "register: has 97, at most 32")
}

// A deaf stream takes what is sent, and brings nothing.
type deaf struct{ ctx context.Context }

func (d deaf) Send(*Up) error { return nil }
func (d deaf) Recv() (*Down, error) {
	<-d.ctx.Done()
	return nil, d.ctx.Err()
}

func TestAStreamOnWhichNothingIsHeardIsGivenUp(t *testing.T) {
	tried := make(chan struct{}, 10)
	newStack(t, map[string]Dial{"cp": func(ctx context.Context) (Stream[Up, Down], error) {
		tried <- struct{}{}
		return deaf{ctx}, nil
	}})
	<-tried
	select {
	case <-tried:
	case <-time.After(soon):
		require.Fail(t, "the stream is kept")
	}
}

func TestNobodyAttachesFromAfar(t *testing.T) {
	p := &plane{}
	p.Leader = NewLeader(&p.listener, quiet(t))
	p.Lead(1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.Creds(trust.Socket()))
	p.Leader.Register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	defer func() {
		server.Stop()
		<-done
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = To(l.Addr().String(), trust.Socket())(ctx)
	require.ErrorContains(t, err, "not a unix socket", "a client does not speak to it either")
	stream, err := To(l.Addr().String(), trust.Loopback())(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	require.Error(t, err)
}

func TestEndsKeepTheirErrors(t *testing.T) {
	for _, err := range []error{relays.ErrForgotten, fmt.Errorf("more: %w", relays.ErrTooOften), errors.New("reset by peer")} {
		back := EndError(endOf(nil, err))
		require.Equal(t, err.Error(), back.Error())
		for _, known := range ends {
			require.Equal(t, errors.Is(err, known), errors.Is(back, known))
		}
	}
	require.NoError(t, EndError(tables.End{Report: &wire.Report{}}))
}

func TestAStreamThatWasReplacedTakesNothing(t *testing.T) {
	l := NewLeader(&listener{}, quiet(t))
	l.Lead(1)
	greeting := tables.Observed{Hello: &tables.Hello{Relay: "pair", Boot: "b"}}
	site, err := l.siteOf(greeting)
	require.NoError(t, err)
	_, old, err := site.attach(greeting, func(error) {})
	require.NoError(t, err)
	_, now, err := site.attach(greeting, func(error) {})
	require.NoError(t, err)
	require.Nil(t, site.next(old))
	require.NotNil(t, site.next(now))
}

func FuzzUp(f *testing.F) {
	f.Add([]byte(`{"observed":{"hello":{"relay":"r","boot":"b","dial":[]},"term":1}}`))
	f.Add([]byte(`{"register":[{"number":1,"token":"t","registration":{"lambda_dispatch":1,"function":"f","environment":"e"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		up := new(Up)
		if (codec{}).Unmarshal(text, up) == nil {
			back, err := codec{}.Marshal(up)
			require.NoError(t, err)
			require.NoError(t, codec{}.Unmarshal(back, new(Up)))
		}
	})
}

func FuzzDown(f *testing.F) {
	f.Add([]byte(`{"desired":{"term":1,"wants":[{"number":1,"instance":"i","forget":true}]}}`))
	f.Add([]byte(`{"registered":[{"number":1,"refusal":"for_now","text":"later"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		down := new(Down)
		if (codec{}).Unmarshal(text, down) == nil {
			back, err := codec{}.Marshal(down)
			require.NoError(t, err)
			require.NoError(t, codec{}.Unmarshal(back, new(Down)))
		}
	})
}

// What is wanted before a relay attaches is wanted of the first that does.
// A control plane that refuses a relay's certificate cuts the connection, which looks different each time.
func TestARelayWhoseCertificateHasExpiredSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := logtest.NewNullLogger()
		dials := 0
		r := NewRelay(Options{
			Hello: tables.Hello{Relay: "edge", Boot: "b"}, Log: log, Wrong: func() error { return errors.New("the certificate has expired") },
			Dials: map[string]Dial{"10.0.0.7:9902": func(context.Context) (Stream[Up, Down], error) {
				dials++
				return nil, status.Errorf(codes.Unavailable, "write tcp 10.0.0.9:%d->10.0.0.7:9902: broken pipe", 40_000+dials)
			}},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = r.Run(ctx)
		}()
		time.Sleep(time.Minute)
		require.Contains(t, r.Status().Unheard["10.0.0.7:9902"], "own certificate: the certificate has expired")
		require.Contains(t, r.Status().Unheard["10.0.0.7:9902"], "broken pipe")
		cancel()
		<-ended
		lines := 0
		for _, entry := range said.AllEntries() {
			if strings.Contains(entry.Message, "no stream to this control plane") {
				lines++
				require.ErrorContains(t, entry.Data[logrus.ErrorKey].(error), "has expired")
			}
		}
		require.Greater(t, dials, 200)
		require.LessOrEqual(t, lines, 12)
		require.Positive(t, lines)
	})
}

func TestWhatWasWantedBeforeARelayAttached(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	p := serve(t, socket, 1)
	p.want("i1")
	p.want("i2")
	p.Forget("i2")
	require.Empty(t, p.Relays())
	s := newStack(t, map[string]Dial{"cp": To(socket, trust.Socket())})
	p.hears(t, "expected i1", "expected i2")
	s.does(t, "forget i2")
	require.Len(t, p.Relays(), 1)
}

// A relay's end is the end of its stream: what was up on it is lost at once, and another one in its place is told whom to expect.
func TestARelayThatEndsTakesAlongWhatIsUp(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	p := serve(t, socket, 1)
	begin := func(boot string) (*stack, func()) {
		s := &stack{Relay: NewRelay(Options{
			Hello: tables.Hello{Relay: "pair", Boot: boot}, Dials: map[string]Dial{"cp": To(socket, trust.Socket())}, Log: quiet(t),
		})}
		s.Connect(&s.obedient)
		return s, running(s.Relay)
	}
	s, end := begin("b1")
	p.hears(t, "synced")
	p.want("i1")
	p.hears(t, "expected i1")
	s.Up(relays.Up{Instance: "i1", Environment: "e", Slots: 10})
	p.hears(t, "up i1 10")
	end()
	p.hears(t, "detached pair", "lost i1")
	s, end = begin("b2")
	t.Cleanup(end)
	s.does(t, "expect i1 at web/0001")
}

// A relay that stops says so, and ends no instance: its peer may dial the next one.
func TestWhatEndsWithTheRelayIsLostForTheMoment(t *testing.T) {
	stacks(t, func(t *testing.T, p *plane, s *stack) {
		p.hears(t, "synced")
		p.want("i1")
		p.hears(t, "expected i1")
		s.Up(relays.Up{Instance: "i1", Environment: "e", Slots: 10})
		s.Down("i1", nil, relays.ErrStopped)
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		s.Flush(ctx)
		require.NoError(t, ctx.Err())
		p.hears(t, "up i1 10", "lost i1")
		require.False(t, p.heard("down i1 relay_stopped"))
	})
}

// What a relay served that another has replaced is told to have ended, once and only then, because no stream will ever say so. If the
// relay was cut off and comes back, it says what it still has.
func TestWhatAReplacedRelayHadHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		p.Leader = NewLeader(&p.listener, quiet(t))
		p.Lead(1)
		relayOf := func(name, boot string) *Relay {
			return NewRelay(Options{Hello: tables.Hello{Relay: name, Boot: boot}, Dials: map[string]Dial{"cp": p.Here()}, Log: quiet(t)})
		}
		events := func() []string {
			synctest.Wait()
			p.listener.mu.Lock()
			defer p.listener.mu.Unlock()
			return slices.Clone(p.listener.events)
		}
		old := relayOf("old", "b1")
		old.Connect(&obedient{})
		stop := running(old)
		time.Sleep(time.Second)
		p.want("served")
		p.want("starts")
		time.Sleep(time.Second)
		old.Up(relays.Up{Instance: "served", Environment: "e", Slots: 10})
		time.Sleep(time.Second)
		stop()
		time.Sleep(time.Hour)
		require.Contains(t, events(), "lost served")
		require.NotContains(t, events(), "down served relay_replaced", "there is no other")

		stopOther := running(relayOf("new", "b2"))
		time.Sleep(time.Minute)
		var ended []string
		for _, e := range events() {
			if strings.HasPrefix(e, "down") {
				ended = append(ended, e)
			}
		}
		require.Equal(t, []string{"down served relay_replaced"}, ended, "what has not dialled may dial the other one")

		stop = running(old)
		time.Sleep(time.Second)
		require.Equal(t, []string{"attached old", "inherited served cold", "up served 10"}, after(events(), "attached old")[:3])
		stop()
		stopOther()
		p.Resign()
	})
}

// An instance whose peer has dialled two relays lives on when one of them is gone.
func TestWhatAnotherRelayHasDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		p.Leader = NewLeader(&p.listener, quiet(t))
		p.Lead(1)
		attach := func(name string) (*Relay, func()) {
			r := NewRelay(Options{Hello: tables.Hello{Relay: name, Boot: name}, Dials: map[string]Dial{"cp": p.Here()}, Log: quiet(t)})
			r.Connect(&obedient{})
			stop := running(r)
			time.Sleep(time.Second)
			return r, stop
		}
		gone, stopGone := attach("gone")
		other, stopOther := attach("other")
		p.want("one")
		p.want("both")
		time.Sleep(time.Second)
		for _, r := range []*Relay{gone, other} {
			r.Up(relays.Up{Instance: "both", Environment: "e", Slots: 10})
		}
		gone.Up(relays.Up{Instance: "one", Environment: "f", Slots: 10})
		time.Sleep(time.Second)
		stopGone()
		time.Sleep(2 * goneAfter)
		require.True(t, p.heard("down one relay_replaced"))
		require.False(t, p.heard("down both relay_replaced"))
		stopOther()
		p.Resign()
	})
}

// after is what came from the last such event on.
func after(events []string, event string) []string {
	for i := len(events) - 1; i >= 0; i-- {
		if events[i] == event {
			return events[i:]
		}
	}
	return nil
}

// A relay that is away for a moment comes back. One that another has replaced does not: peers need not dial it, and nothing is kept for
// it.
func TestARelayThatWasReplacedIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leader := NewLeader(&listener{}, quiet(t))
		leader.Lead(1)
		var number uint64
		say := func(s *site, o tables.Observed) {
			number++
			o.Number = number
			s.with(func(m *tables.Mirror) {
				_, err := m.Receive(time.Now(), o)
				require.NoError(t, err)
			})
		}
		attach := func(name string) *site {
			hello := tables.Observed{Hello: &tables.Hello{Relay: name, Boot: name}}
			s, err := leader.siteOf(hello)
			require.NoError(t, err)
			s.with(func(m *tables.Mirror) { m.Attach(hello) })
			say(s, tables.Observed{Complete: true})
			return s
		}
		wants := func(s *site) (n int) {
			s.with(func(m *tables.Mirror) {
				for d, more := m.Next(time.Now()); more; d, more = m.Next(time.Now()) {
					n += len(d.Wants)
					if d.Ping > 0 {
						_, err := m.Receive(time.Now(), tables.Observed{Number: number, Pong: d.Ping})
						require.NoError(t, err)
					}
				}
			})
			return n
		}
		old := attach("old")
		require.Zero(t, wants(old), "it answers the first ping")
		old.with(func(m *tables.Mirror) { m.Detach(true) })
		time.Sleep(time.Hour)
		require.False(t, leader.Relays()["old"].Gone, "there is no other")

		replaced := attach("new")
		require.True(t, leader.Relays()["old"].Gone)
		leader.Expect(tables.Expectation{Instance: "one", Function: "web", Endpoint: "web/0000"})
		require.Equal(t, []int{1, 0}, []int{wants(replaced), wants(attach("old"))})

		require.Zero(t, wants(old))
		old.with(func(m *tables.Mirror) { m.Detach(true) })
		time.Sleep(goneAfter / 2)
		require.False(t, leader.Relays()["old"].Gone, "it may be back in a moment")

		for n := range 2 * maxRelays { // each takes the place of the one before
			attach(fmt.Sprint(n)).with(func(m *tables.Mirror) { m.Detach(true) })
			time.Sleep(2 * goneAfter)
		}
	})
}
