package relay

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func TestALifeInOrder(t *testing.T) {
	b := newBed(t)
	b.expect("a")
	require.NoFileExists(t, b.socket("a"))
	c := b.control("a")
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindLoad, InFlight: 1}))
	require.NoFileExists(t, b.socket("a"), "no tunnel stands")
	require.Empty(t, b.events.all())
	b.tunnel("a")
	b.eventually(func() bool { return b.events.has("up a env-a 10 true") }, "never up")
	require.FileExists(t, b.socket("a"))
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindLoad, InFlight: 7}))
	b.eventually(func() bool { return b.events.has("load a 7") }, "no load")
	b.Drain("a", wire.ReasonScaleIn)
	b.Drain("a", wire.ReasonOperator)
	m, err := c.Decode()
	require.NoError(t, err)
	require.Equal(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn}, m)
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonDeadline}))
	report := &wire.Report{Version: wire.Version, Instance: "a", Reason: wire.ReasonScaleIn, Requests: 42}
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindGoodbye, Report: report}))
	_, err = c.Decode()
	require.Error(t, err)
	b.eventually(func() bool { return b.events.has("down a") }, "never down")
	got, err := b.events.down("a")
	require.NoError(t, err)
	require.Equal(t, report, got)
	require.NoFileExists(t, b.socket("a"))
	calls := b.events.all()
	require.Equal(t, "up a env-a 10 true", calls[0])
	require.Equal(t, []string{"draining a deadline", "down a"}, calls[len(calls)-2:])
	require.NotContains(t, calls[:len(calls)-2], "draining a deadline")
}

func TestADrainAskedForEarlyFollowsTheWelcome(t *testing.T) {
	b := newBed(t, plain)
	b.expect("a")
	b.Drain("a", wire.ReasonStopping)
	c := b.control("a")
	m, err := c.Decode()
	require.NoError(t, err)
	require.Equal(t, wire.KindDrain, m.Kind)
}

func TestAnInstanceThatNobodyDialsForExpires(t *testing.T) {
	b := newBed(t, plain)
	b.Expect(relays.Expectation{Instance: "a", Function: "web", Endpoint: "web/0001", Expires: time.Now().Add(time.Millisecond)})
	b.eventually(func() bool { return b.events.has("down a") }, "never down")
	_, err := b.events.down("a")
	require.ErrorIs(t, err, relays.ErrNeverDialled)
}

// After a restart of the relay thousands of peers dial again. As long as some come, none is given up.
func TestAnInstanceThatMayYetReturnIsWaitedFor(t *testing.T) {
	another := func(b *bed) { b.expect("b"); b.control("b") }
	for name, tt := range map[string]struct {
		expired time.Duration // ago
		startBy time.Time
		others  func(*bed)
		waited  bool
	}{
		"another has just returned": {others: another, waited: true},
		"a stranger is in the middle": {others: func(b *bed) {
			_, err := b.dial().Write([]byte("GET"))
			require.NoError(b, err)
			b.eventually(b.door.Busy, "nobody has spoken")
		}, waited: true},
		"another has just returned, and it is late":         {expired: 20 * time.Second, others: another, waited: true},
		"another has just returned, and it is far too late": {expired: 26 * time.Second, others: another},
		"another returned a while ago": {others: func(b *bed) {
			another(b)
			b.returned.set(time.Now().Add(-3 * time.Second))
		}},
		"nobody comes":         {others: func(*bed) {}},
		"it has never been up": {startBy: time.Now().Add(time.Minute), others: another},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, plain)
			b.Expect(relays.Expectation{
				Instance: "a", Function: "web", Endpoint: "web/0001", Expires: time.Now().Add(time.Minute), StartBy: tt.startBy,
			})
			tt.others(b)
			a := b.find("a")
			a.Expires = time.Now().Add(-tt.expired)
			a.expire()
			require.Equal(t, !tt.waited, b.events.has("down a"))
			if tt.waited {
				b.control("a")
			}
		})
	}
}

func TestForgetClosesEverything(t *testing.T) {
	b := newBed(t)
	c, peer := b.up("a")
	idle := b.tunnel("a")
	envoy := b.envoy("a")
	exchangeBoth(t, envoy, peer, "hello")
	b.Forget("a")
	require.NoFileExists(t, b.socket("a"))
	requireEnd(t, envoy)
	requireEnd(t, peer)
	requireEnd(t, idle)
	_, err := c.Decode()
	require.Error(t, err)
	b.eventually(func() bool { return b.events.has("down a") }, "never down")
	_, err = b.events.down("a")
	require.ErrorIs(t, err, relays.ErrForgotten)
	b.Forget("a")
}

func TestAPeerThatDoesNotComeBackEndsTheInstance(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBed(t, plain)
	c, peer := b.up("a")
	envoy := b.envoy("a")
	exchangeBoth(t, envoy, peer, "hello")
	require.NoError(t, c.Close())
	b.eventually(func() bool { return b.events.has("lost a") }, "not lost")
	requireEnd(t, peer)
	requireEnd(t, envoy)
	b.eventually(func() bool { return b.events.has("down a") }, "never down")
	_, err := b.events.down("a")
	require.ErrorIs(t, err, relays.ErrControlEnded)
}

// A network that loses the control stream for a moment costs no request whose tunnel stands.
func TestAPeerThatComesBackServesOn(t *testing.T) {
	b := newBed(t)
	first, peer := b.up("a")
	envoy := b.envoy("a")
	exchangeBoth(t, envoy, peer, "hello")
	require.NoError(t, first.Close())
	b.eventually(func() bool { return b.events.has("lost a") }, "not lost")
	require.NoFileExists(t, b.socket("a"), "nothing new may come in")
	exchangeBoth(t, envoy, peer, "still here")
	b.Drain("a", wire.ReasonScaleIn)
	second := b.control("a")
	m, err := second.Decode()
	require.NoError(t, err)
	require.Equal(t, wire.KindDrain, m.Kind, "what was asked for meanwhile is not lost")
	fresh := b.tunnel("a")
	b.eventually(func() bool { return len(b.events.all()) == 4 }, "not up again")
	exchangeBoth(t, b.envoy("a"), fresh, "new")
	exchangeBoth(t, envoy, peer, "and old")
	require.Equal(t, []string{"up a env-a 10 true", "lost a", "up a env-a 10 true", "load a 0"}, b.events.all())
}

// A peer that comes back dials its tunnel and its control stream at once: either may arrive first.
func TestATunnelDialledAfterTheLossIsNotDoubted(t *testing.T) {
	b := newBed(t, plain)
	first, peer := b.up("a")
	exchangeBoth(t, b.envoy("a"), peer, "hello")
	stale := b.tunnel("a")
	require.NoError(t, first.Close())
	b.eventually(func() bool { return b.events.has("lost a") }, "not lost")
	fresh := b.tunnel("a")
	b.control("a")
	b.eventually(func() bool { return b.Stats().Up == 1 }, "not up again")
	exchangeBoth(t, b.envoy("a"), fresh, "new")
	requireEnd(t, stale)
}

// Up promises a tunnel that stands: one that was just closed is none.
func TestDoubtfulTunnelsBringNobodyUp(t *testing.T) {
	b := newBed(t, plain)
	first, _ := b.up("a")
	require.NoError(t, first.Close())
	b.eventually(func() bool { return b.events.has("lost a") }, "not lost")
	b.control("a")
	require.Zero(t, b.Stats().TunnelsIdle)
	fresh := b.tunnel("a")
	b.eventually(func() bool { return b.Stats().Up == 1 }, "not up again")
	exchangeBoth(t, b.envoy("a"), fresh, "hello")
}

// The control plane hears of an instance that was lost before it heard that it was up only what it must.
func TestAnUpThatNobodyHasHeardOfIsTakenBack(t *testing.T) {
	events := &recorder{downs: map[string]error{}, reports: map[string]*wire.Report{}}
	m := newMailbox(events, "a")
	m.note(func(m *mailbox) { m.up = &relays.Up{Instance: "a"} })
	m.note(func(m *mailbox) { m.lose(relays.ErrControlEnded) })
	m.note(func(m *mailbox) { m.down = &ending{err: relays.ErrControlEnded} })
	m.deliver()
	require.Equal(t, []string{"down a"}, events.all())
}

// The time to come back may run out in the moment in which the peer does.
func TestATimerThatFiresLateEndsNobody(t *testing.T) {
	b := newBed(t, plain)
	_, peer := b.up("a")
	i := b.find("a")
	i.giveUp(relays.ErrControlEnded)
	i.expire()
	exchangeBoth(t, b.envoy("a"), peer, "still here")
}

// The welcome is the first message, also for a drain that comes in between, and that is said once.
func TestADrainWaitsForTheNextWelcome(t *testing.T) {
	b := newBed(t, plain)
	stream, _ := b.up("a")
	i := b.find("a")
	next := &controlStream{inst: i, conn: i.control.conn, hello: i.control.hello}
	_, _, err := i.adopt(next)
	require.NoError(t, err)
	b.Drain("a", wire.ReasonScaleIn)
	require.NoError(t, next.send(wire.Message{Kind: wire.KindWelcome}))
	i.welcomed(next)
	require.NoError(t, next.send(wire.Message{Kind: wire.KindDrain, Reason: "last"}))
	for _, want := range []wire.Message{
		{Kind: wire.KindWelcome}, {Kind: wire.KindDrain, Reason: wire.ReasonScaleIn}, {Kind: wire.KindDrain, Reason: "last"},
	} {
		m, err := stream.Decode()
		require.NoError(t, err)
		require.Equal(t, want, m)
	}
}

// The last bytes of the last answer may arrive after the goodbye, on another connection.
func TestAnswersOnTheirWaySurviveTheGoodbye(t *testing.T) {
	b := newBed(t)
	c, peer := b.up("a")
	envoy := b.envoy("a")
	exchangeBoth(t, envoy, peer, "hello")
	report := &wire.Report{Version: wire.Version, Instance: "a", Reason: wire.ReasonShutdown}
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindGoodbye, Report: report}))
	_, err := c.Decode()
	require.Error(t, err)
	exchange(t, peer, envoy, "the end")
	require.NoError(t, peer.Close())
	rest, err := io.ReadAll(envoy)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, envoy.Close())
	b.eventually(func() bool { return b.events.has("down a") }, "never down")
}

func TestWhatAHelloMayNotSay(t *testing.T) {
	cases := []struct {
		name, line string
		drop       Drop
		says       string
	}{
		{"not JSON", "hello", DropHelloInvalid, ""},
		{"another kind", `{"kind":"load"}`, DropHelloInvalid, "not a hello"},
		{"no slots", `{"kind":"hello","version":1,"instance":"a","environment":"e"}`, DropHelloInvalid, "slots"},
		{"another version", `{"kind":"hello","version":9}`, DropHelloVersion, "9"},
		{"another instance", `{"kind":"hello","version":1,"instance":"b","environment":"e","slots":1}`, DropHelloInstance, "token"},
		{"endless", strings.Repeat("x", wire.MaxMessage+1), DropHelloInvalid, "too long"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, plain)
			b.expect("a")
			stream := b.stream("a")
			_, err := io.WriteString(stream, c.line+"\n")
			require.NoError(t, err)
			m, err := stream.Decode()
			require.NoError(t, err)
			require.Equal(t, wire.KindRefused, m.Kind)
			require.Contains(t, m.Detail, c.says)
			require.EqualValues(t, 1, b.Stats().Dropped[c.drop])
			_, err = stream.Decode()
			require.ErrorIs(t, err, io.EOF)
			b.control("a") // the instance itself is not disturbed
		})
	}
}

func TestAHelloMustComeInTime(t *testing.T) {
	b := newBed(t, plain, func(c *Config) { c.HandshakeTimeout = 50 * time.Millisecond })
	b.expect("a")
	stream := b.stream("a")
	_, err := stream.Decode()
	require.ErrorIs(t, err, io.EOF, "which the peer answers by dialling again")
	require.EqualValues(t, 1, b.Stats().Dropped[DropHelloTimeout])
}

func TestASecondControlStream(t *testing.T) {
	t.Run("of another environment is refused", func(t *testing.T) {
		b := newBed(t, plain)
		b.up("a")
		second := b.stream("a")
		other := hello("a")
		other.Environment = "elsewhere"
		require.NoError(t, second.Encode(other))
		m, err := second.Decode()
		require.NoError(t, err)
		require.Equal(t, wire.KindRefused, m.Kind)
		require.EqualValues(t, 1, b.Stats().Dropped[DropControlExists])
		require.False(t, b.events.has("down a"))
	})
	t.Run("of the same environment replaces a lost one", func(t *testing.T) {
		b := newBed(t, plain)
		first, peer := b.up("a")
		envoy := b.envoy("a")
		exchangeBoth(t, envoy, peer, "hello")
		idle := b.tunnel("a")
		b.control("a")
		_, err := first.Decode()
		require.Error(t, err)
		requireEnd(t, idle)
		exchangeBoth(t, envoy, peer, "still here")
		fresh := b.tunnel("a")
		exchangeBoth(t, b.envoy("a"), fresh, "again")
		require.Equal(t, []string{"up a env-a 10 true", "load a 0"}, b.events.all())
	})
	t.Run("of another environment is refused while the first is lost", func(t *testing.T) {
		b := newBed(t, plain)
		c, _ := b.up("a")
		require.NoError(t, c.Close())
		b.eventually(func() bool { return b.events.has("lost a") }, "not lost")
		second := b.stream("a")
		other := hello("a")
		other.Environment = "elsewhere"
		require.NoError(t, second.Encode(other))
		m, err := second.Decode()
		require.NoError(t, err)
		require.Equal(t, wire.KindRefused, m.Kind)
	})
	t.Run("without a hello is limited", func(t *testing.T) {
		b := newBed(t, plain)
		b.expect("a")
		for range maxGreeting {
			b.stream("a")
		}
		c := b.dial()
		defer c.Close()
		answer, body := b.ask(c, upgrade(wire.ControlPath, b.token("a")))
		require.Equal(t, 409, answer.StatusCode, body)
	})
}

// A tunnel whose handshake was on its way when the peer lost its network is as doubtful as one that stood.
func TestATunnelThatStandsAfterTheLoss(t *testing.T) {
	b := newBed(t, plain)
	b.up("a")
	late := b.dial()
	defer late.Close()
	b.eventually(func() bool { return b.Stats().Strangers == 1 }, "not there")
	b.control("a")
	b.ask(late, upgrade(wire.TunnelPath, b.token("a")))
	requireEnd(t, late)
	exchangeBoth(t, b.envoy("a"), b.tunnel("a"), "this one stands")
}

func TestAnEndpointsNextInstanceGetsTheSocket(t *testing.T) {
	b := newBed(t, plain)
	_, peer := b.up("a")
	b.Forget("a")
	_, next := b.up("b") // a name of the same length: the same endpoint
	require.Equal(t, b.socket("a"), b.socket("b"))
	exchangeBoth(t, b.envoy("b"), next, "hello")
	requireEnd(t, peer)
	_, err := os.Stat(b.socket("b"))
	require.NoError(t, err)
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("{\"kind\":\"load\"}\n{\"kind\":\"drain\",\"reason\":\"x\"}\n"), 3)
	f.Add([]byte("\n\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		src := &chunks{data: data, step: max(1, min(step, bufferSize))}
		var l lines
		var got []byte
		for {
			line, err := l.next(src)
			if err != nil {
				break
			}
			require.Less(t, len(line), wire.MaxMessage)
			got = append(append(got, line...), '\n')
			_, _ = wire.DecodeMessage(line)
		}
		require.True(t, strings.HasPrefix(string(data), string(got)))
	})
}

// chunks is a source of fixed bytes.
type chunks struct {
	data []byte
	step int
}

func (c *chunks) read() (*buffer, error) {
	if len(c.data) == 0 {
		return nil, io.EOF
	}
	b := takeBuffer()
	b.n = copy(b.data[:min(c.step, bufferSize)], c.data)
	c.data = c.data[b.n:]
	return b, nil
}

// What the hello says of the peer's program reaches the control plane; one that says nothing is up all the same.
func TestTheHelloDescribesThePeer(t *testing.T) {
	said := wire.Message{
		Kind: wire.KindHello, Version: wire.Version, Instance: "a", Environment: "env-a", Slots: 3, Left: wire.Millis(time.Minute),
		FunctionVersion: "7", Build: "v1.2.3", Features: wire.Features{"of_tomorrow"},
	}
	require.Equal(t, relays.Up{
		Instance: "a", Environment: "env-a", Slots: 3, Left: time.Minute,
		Peer: relays.Peer{Build: "v1.2.3", Features: wire.Features{"of_tomorrow"}, FunctionVersion: "7"},
	}, newUp("a", said))
	require.Zero(t, newUp("a", hello("a")).Peer)
}

func TestTheWelcomeDescribesTheRelay(t *testing.T) {
	b := newBed(t, plain)
	b.expect("a")
	c := b.stream("a")
	require.NoError(t, c.Encode(hello("a")))
	m, err := c.Decode()
	require.NoError(t, err)
	require.Equal(t, wire.Message{Kind: wire.KindWelcome, Build: wire.Build(), Features: wire.ControlFeatures()}, m)
}
