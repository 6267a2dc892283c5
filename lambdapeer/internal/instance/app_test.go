package instance_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A slowApp is an app whose readiness the test decides.
type slowApp struct {
	says  chan string
	ready chan error
}

func newSlowApp() slowApp { return slowApp{make(chan string), make(chan error, 1)} }

func (a slowApp) wait(ctx context.Context, say func(string)) error {
	for {
		select {
		case what := <-a.says:
			say(what)
		case err := <-a.ready:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// greet welcomes a control stream as the control plane does whose start has so much time left.
func greet(t *testing.T, r *relaytest.Relay, left time.Duration) (*relaytest.Control, wire.Message) {
	t.Helper()
	c := r.Control(t)
	hello := c.Next(t)
	c.Send(t, wire.Message{Kind: wire.KindWelcome, StartLeft: wire.Millis(left)})
	return c, hello
}

// heard makes sure that the peer has read its welcome.
func (a slowApp) heard(t *testing.T, c *relaytest.Control) {
	t.Helper()
	a.says <- "GET / answered 503"
	require.Equal(t, wire.Message{Kind: wire.KindWaiting, Waiting: "GET / answered 503"}, c.Next(t))
}

// The hello comes before the app is ready, and says what it did; what changes is said; and then that it is ready.
func TestTheHelloComesBeforeTheAppIsReady(t *testing.T) {
	leaks(t)
	relay, app := relaytest.Start(t), newSlowApp()
	r := serve(t, instance.Config{
		Invocation: relaytest.Invocation(2, relay), Deadline: time.Now().Add(time.Hour), Ready: app.wait,
	})
	app.says <- "GET /: connection refused"
	control, hello := greet(t, relay, time.Minute)
	require.Equal(t, "GET /: connection refused", hello.Waiting)
	app.heard(t, control)
	app.ready <- nil
	ready := control.Next(t)
	require.Equal(t, wire.KindReady, ready.Kind)
	require.InDelta(t, time.Hour, ready.Left.Duration(), float64(time.Minute))
	status, _ := get(t, relay.Client(t, true), "/")
	require.Equal(t, 200, status)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.Equal(t, wire.ReasonScaleIn, r.end(t).Reason)
}

// An app that is ready costs no extra message: the hello is that of any peer.
func TestAReadyAppIsNotWaitedFor(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	r := serve(t, instance.Config{
		Invocation: relaytest.Invocation(2, relay),
		Ready:      func(context.Context, func(string)) error { return nil },
	})
	control, hello := relay.Welcome(t)
	require.Empty(t, hello.Waiting)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.Equal(t, wire.KindGoodbye, control.Next(t).Kind)
	r.end(t)
}

// The app is given up before its start is, so that its own cause is heard; or when its readiness has failed.
func TestAnAppThatIsNotReadyIsGivenUpWithItsCause(t *testing.T) {
	for name, tt := range map[string]struct {
		left   time.Duration
		fails  error
		detail string
	}{
		"by its start":     {500 * time.Millisecond, nil, "the app was not ready when its start was about to be given up: GET /: connection refused"},
		"by its readiness": {time.Hour, errors.New("not ready within 1s: GET /: connection refused"), "not ready within 1s: GET /: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			relay, app := relaytest.Start(t), newSlowApp()
			r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Ready: app.wait})
			app.says <- "GET /: connection refused"
			control, _ := greet(t, relay, tt.left)
			if tt.fails != nil {
				app.heard(t, control)
				app.ready <- tt.fails
			}
			goodbye := control.Await(t, wire.KindGoodbye)
			report := r.end(t)
			require.Equal(t, report, *goodbye.Report)
			require.Equal(t, wire.ReasonAppUnhealthy, report.Reason)
			require.Equal(t, tt.detail, report.Detail)
			require.Zero(t, report.Served)
		})
	}
}

func TestAnAppThatIsNotReadyByTheDeadline(t *testing.T) {
	leaks(t)
	relay, app := relaytest.Start(t), newSlowApp()
	inv := relaytest.Invocation(2, relay)
	inv.DrainMargin = wire.Millis(time.Hour)
	r := serve(t, instance.Config{Invocation: inv, Deadline: time.Now().Add(600 * time.Millisecond), Ready: app.wait})
	app.says <- "GET / answered 503"
	greet(t, relay, 0)
	report := r.end(t)
	require.Equal(t, wire.ReasonAppUnhealthy, report.Reason)
	require.Equal(t, "the app was not ready when its invocation's deadline came near: GET / answered 503", report.Detail)
}

// Nobody can be in flight on an instance whose app is not ready: it ends at once when it is told to, or when the app's
// process has ended.
func TestAnInstanceThatWaitsEndsAtOnce(t *testing.T) {
	for name, end := range map[string]func(*running, *testing.T, *relaytest.Control) wire.Reason{
		"drained": func(_ *running, t *testing.T, c *relaytest.Control) wire.Reason {
			c.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonOperator})
			return wire.ReasonOperator
		},
		"the app exits": func(r *running, _ *testing.T, _ *relaytest.Control) wire.Reason {
			r.cancel(&instance.Stop{Reason: wire.ReasonAppExited, Detail: "exit status 3"})
			return wire.ReasonAppExited
		},
	} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			relay, app := relaytest.Start(t), newSlowApp()
			r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Ready: app.wait})
			app.says <- "GET /: connection refused"
			control, _ := greet(t, relay, time.Hour)
			app.heard(t, control)
			want := end(r, t, control)
			require.Equal(t, want, control.Await(t, wire.KindGoodbye).Report.Reason)
			require.Equal(t, want, r.end(t).Reason)
		})
	}
}

// A relay that lost the peer's control stream while the app was waited for hears all that counts on the next one.
func TestAControlStreamIsLostWhileTheAppIsWaitedFor(t *testing.T) {
	leaks(t)
	relay, app := relaytest.Start(t), newSlowApp()
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Ready: app.wait})
	app.says <- "GET /: connection refused"
	first, _ := greet(t, relay, time.Hour)
	app.heard(t, first)
	first.Close()
	second, hello := greet(t, relay, time.Hour)
	require.Equal(t, "GET / answered 503", hello.Waiting)
	second.Close()
	late := relay.Control(t)
	require.Equal(t, "GET / answered 503", late.Next(t).Waiting)
	app.ready <- nil // between its hello and the welcome
	late.Send(t, wire.Message{Kind: wire.KindWelcome})
	late.Await(t, wire.KindReady)
	late.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.Equal(t, wire.ReasonScaleIn, r.end(t).Reason)
}

// A peer that comes when its start was given up has a cause all the same: it is not the relay's refusal.
func TestAnAppThatIsNotReadyIsTheCauseThoughTheRelayRefuses(t *testing.T) {
	leaks(t)
	relay, app := relaytest.Start(t), newSlowApp()
	relay.Refuse(401, "no such instance")
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Ready: app.wait})
	app.says <- "GET /: connection refused"
	report := r.end(t)
	require.Equal(t, wire.ReasonAppUnhealthy, report.Reason)
	require.Contains(t, report.Detail, "GET /: connection refused")
	require.Contains(t, report.Detail, "no such instance")
}

// Without a relay there is nobody to tell, and no use in waiting for the app.
func TestARelayThatIsNotReachedEndsTheWait(t *testing.T) {
	leaks(t)
	relay, app := relaytest.Start(t), newSlowApp()
	inv := relaytest.Invocation(2, relay)
	inv.DialTimeout = wire.Millis(100 * time.Millisecond)
	relay.Close()
	r := serve(t, instance.Config{Invocation: inv, Ready: app.wait})
	app.says <- "GET /: connection refused"
	report := r.end(t)
	require.Equal(t, wire.ReasonRelayUnreachable, report.Reason)
	require.Contains(t, report.Detail, "refused")
}
