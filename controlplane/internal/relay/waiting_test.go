package relay

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// waiting is the hello of a peer whose app is not ready.
func waiting(id, what string) wire.Message {
	m := hello(id)
	m.Waiting, m.Left = what, wire.Millis(time.Minute)
	return m
}

// greetEarly opens a control stream for a peer whose app is not ready.
func (b *bed) greetEarly(id, what string) (control, wire.Message) {
	b.Helper()
	c := b.stream(id)
	require.NoError(b, c.Encode(waiting(id, what)))
	m, err := c.Decode()
	require.NoError(b, err)
	require.Equal(b, wire.KindWelcome, m.Kind, m.Detail)
	return c, m
}

// A peer that waits for its app is heard and is not up, whatever stands, until it says that it is ready.
func TestAPeerThatWaitsForItsAppIsHeardAndNotUp(t *testing.T) {
	b := newBed(t)
	b.expect("a")
	tunnel := b.tunnel("a")
	c, _ := b.greetEarly("a", "GET /: connection refused")
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindWaiting, Waiting: "GET / answered 503"}))
	b.eventually(func() bool { return b.events.has("waiting a env-a: GET / answered 503") }, "not heard")
	require.NoFileExists(t, b.socket("a"))
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindReady, Left: wire.Millis(30 * time.Second)}))
	b.eventually(func() bool { return b.events.has("up a env-a 10 true") }, "not up")
	exchangeBoth(t, b.envoy("a"), tunnel, "a request and its answer")
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindWaiting, Waiting: "too late"}))
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindLoad, InFlight: 1}))
	b.eventually(func() bool { return b.events.has("load a 1") }, "not heard")
	require.Equal(t, []string{
		"waiting a env-a: GET /: connection refused", "waiting a env-a: GET / answered 503", "up a env-a 10 true", "load a 1",
	}, b.events.all())
}

// The deadline that the control plane hears is the one of the moment in which the app was ready.
func TestTheTimeThatIsLeftCountsFromReady(t *testing.T) {
	b := newBed(t, plain)
	b.expect("a")
	b.tunnel("a")
	c, _ := b.greetEarly("a", "GET /: connection refused")
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindReady, Left: wire.Millis(3 * time.Second)}))
	b.eventually(func() bool { return b.events.has("up a env-a 10 true") }, "not up")
	i := b.find("a")
	i.mu.Lock()
	defer i.mu.Unlock()
	require.Equal(t, 3*time.Second, newUp("a", i.control.hello).Left)
}

func TestAPeerThatWaitsIsToldHowLongItsStartMayTake(t *testing.T) {
	for name, tt := range map[string]struct {
		by       time.Time
		atLeast  time.Duration
		nothing  bool
		notEarly bool
	}{
		"a limit":          {by: time.Now().Add(time.Hour), atLeast: 59 * time.Minute},
		"a limit that was": {by: time.Now().Add(-time.Second), atLeast: time.Millisecond},
		"none":             {nothing: true},
		"of no use":        {by: time.Now().Add(time.Hour), nothing: true, notEarly: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, plain)
			b.Expect(relays.Expectation{Instance: "a", Function: "web", Endpoint: "web/0001", Expires: time.Now().Add(time.Minute), StartBy: tt.by})
			c, said := b.stream("a"), waiting("a", "GET /: connection refused")
			if tt.notEarly {
				said.Waiting = ""
			}
			require.NoError(t, c.Encode(said))
			m, err := c.Decode()
			require.NoError(t, err)
			require.Equal(t, tt.nothing, m.StartLeft == 0)
			require.GreaterOrEqual(t, m.StartLeft.Duration(), tt.atLeast)
		})
	}
}

func TestANoticeReachesTheControlPlane(t *testing.T) {
	b := newBed(t, plain)
	c, _ := b.up("a")
	require.NoError(t, c.Encode(wire.Message{Kind: wire.KindNotice, Notice: wire.NoticeSerialApp}))
	b.eventually(func() bool { return b.events.has("notice a serial_app") }, "not heard")
}

// An instance that waits for its app can be told to end, and can lose its network and come back.
func TestAPeerThatWaitsDrainsAndComesBack(t *testing.T) {
	b := newBed(t, plain)
	b.expect("a")
	first, _ := b.greetEarly("a", "GET /: connection refused")
	b.eventually(func() bool { return len(b.events.all()) == 1 }, "not heard")
	require.NoError(t, first.Close())
	b.tunnel("a")
	second, _ := b.greetEarly("a", "GET / answered 503")
	b.eventually(func() bool { return b.events.has("waiting a env-a: GET / answered 503") }, "not heard")
	b.Drain("a", wire.ReasonOperator)
	m, err := second.Decode()
	require.NoError(t, err)
	require.Equal(t, wire.KindDrain, m.Kind)
	require.NoError(t, second.Encode(wire.Message{Kind: wire.KindGoodbye, Report: &wire.Report{
		Version: wire.Version, Instance: "a", Reason: wire.ReasonOperator,
	}}))
	b.eventually(func() bool { return b.events.has("down a") }, "not down")
	_, err = os.Stat(b.socket("a"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
