package instance_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const linger = 1500 * time.Millisecond

func lingering(relays ...*relaytest.Relay) wire.Invocation {
	inv := relaytest.Invocation(3, relays...)
	inv.Linger = wire.Millis(linger)
	return inv
}

// The app may work on after its last answer, whoever ends the instance and however.
func TestAnInstanceLastsForWhatItsAppDoesAfterAnAnswer(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *running, *relaytest.Relay, *relaytest.Control){
		"told to finish": func(t *testing.T, _ *running, _ *relaytest.Relay, c *relaytest.Control) {
			c.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
		},
		"by its own decision": func(_ *testing.T, r *running, _ *relaytest.Relay, _ *relaytest.Control) { r.cancel(nil) },
		"left by its relay":   func(_ *testing.T, _ *running, relay *relaytest.Relay, _ *relaytest.Control) { relay.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			relay := relaytest.Start(t)
			inv := lingering(relay)
			inv.DialTimeout = wire.Millis(300 * time.Millisecond) // twice of which is less than the app has left
			r := serve(t, instance.Config{Invocation: inv})
			control, _ := relay.Welcome(t)
			client := relay.Client(t, true)
			get(t, client, "/")
			time.Sleep(linger / 2) // the time counts from the last answer
			get(t, client, "/")
			answered := time.Now()
			end(t, r, relay, control)
			r.end(t)
			require.GreaterOrEqual(t, time.Since(answered), linger-10*time.Millisecond)
		})
	}
}

func TestNothingIsWaitedForWithoutAnAnswerOrWhenItsTimeIsOver(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	inv := relaytest.Invocation(3, relay)
	inv.Linger = wire.Millis(time.Hour)
	r := serve(t, instance.Config{Invocation: inv})
	control, _ := relay.Welcome(t)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	r.end(t)

	second := relaytest.Start(t)
	inv = lingering(second)
	inv.Linger = wire.Millis(10 * time.Millisecond)
	r = serve(t, instance.Config{Invocation: inv})
	control, _ = second.Welcome(t)
	get(t, second.Client(t, true), "/")
	time.Sleep(20 * time.Millisecond)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	r.end(t)
}

// A request that comes meanwhile is served like any other.
func TestAnInstanceThatLingersServes(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	r := serve(t, instance.Config{Invocation: lingering(relay)})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	get(t, client, "/")
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	time.Sleep(linger / 3)
	get(t, client, "/")
	answered := time.Now()
	report := r.end(t)
	require.EqualValues(t, 2, report.Requests)
	require.GreaterOrEqual(t, time.Since(answered), linger-10*time.Millisecond)
}

// Deadlines and limits come first: the invocation must be answered, and an environment that ends waits for nobody.
func TestLimitsComeBeforeWhatTheAppDoes(t *testing.T) {
	for name, c := range map[string]instance.Config{
		"the deadline":   {Deadline: time.Now().Add(3 * time.Second)},
		"the shutdown's": {ShutdownLimit: 100 * time.Millisecond},
		"the drain's":    {},
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			relay := relaytest.Start(t)
			c.Invocation = relaytest.Invocation(3, relay)
			c.Invocation.Linger = wire.Millis(time.Hour)
			c.Invocation.DrainLimit = wire.Millis(time.Second)
			if !c.Deadline.IsZero() {
				c.Deadline = time.Now().Add(3 * time.Second)
				c.Invocation.DrainLimit = wire.Millis(time.Hour)
			}
			r := serve(t, c)
			relay.Welcome(t)
			get(t, relay.Client(t, true), "/")
			r.cancel(nil)
			r.end(t)
			if !c.Deadline.IsZero() {
				require.True(t, time.Now().Before(c.Deadline))
			}
		})
	}
}
