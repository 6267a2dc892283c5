package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A diary is what an app heard and did, in order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, what)
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.entries...)
}

func (d *diary) hook(what string) func(context.Context) error {
	return func(context.Context) error {
		d.note(what)
		return nil
	}
}

func (d *diary) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	d.note("request")
	_, _ = io.WriteString(w, "{}")
}

const gatewayEvent = `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}`

// drive has an instance serve one request, and returns when its invocation is answered.
func drive(t *testing.T, api *runtimetest.API, early bool) {
	t.Helper()
	relay := relaytest.Start(t)
	inv := relaytest.Invocation(2, relay)
	if early {
		inv.Features = wire.ControlFeatures()
	}
	payload, err := json.Marshal(inv)
	require.NoError(t, err)
	api.Invoke("ours", string(payload), time.Now().Add(time.Minute))
	control, _ := relay.Welcome(t)
	res, err := relay.Client(t, true).Get("http://app/")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.False(t, api.Answer(t).Error)
}

// The app hears of a freeze when nothing of an invocation is left, and of the thaw before anything of the next one.
func TestTheAppHearsOfFreezesAndThawsInTurn(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprint("early hello ", early), func(t *testing.T) {
			app := &diary{}
			api := live(t, &Environment{
				ID: "e", Handler: app, Logger: logger(t), Events: Events{Options: events.Options{Path: events.DefaultPath}},
				Hooks:  Hooks{Freeze: app.hook("freeze"), Thaw: app.hook("thaw")},
				Settle: func() { app.note("settled") },
			})
			next := func() { t.Helper(); <-api.Asked } // the environment may be frozen
			for range 2 {
				next()
				drive(t, api, early)
				// The environment counts as free once its invocation is answered, so nothing may go on after that.
				entries := app.read()
				require.Equal(t, []string{"freeze", "settled"}, entries[len(entries)-2:])
			}
			next()
			api.Invoke("theirs", gatewayEvent, time.Now().Add(time.Minute))
			require.False(t, api.Answer(t).Error)
			next()
			api.Invoke("bad", `{"lambda_dispatch":7}`, time.Now().Add(time.Minute))
			require.True(t, api.Answer(t).Error)
			next()
			require.Equal(t, []string{
				"request", "freeze", "settled",
				"thaw", "request", "freeze", "settled",
				"thaw", "request", "freeze", "settled",
				"settled", // the app had nothing to do with it
			}, app.read())
		})
	}
}

// Whoever sent another event need not wait for the app's affairs.
func TestTheAnswerToAnEventDoesNotWaitForTheFreeze(t *testing.T) {
	release := make(chan struct{})
	api := live(t, &Environment{
		ID: "e", Handler: &diary{}, Logger: logger(t), Events: Events{Options: events.Options{Path: events.DefaultPath}},
		Hooks: Hooks{Freeze: func(context.Context) error { <-release; return nil }, Limit: time.Minute},
	})
	api.Invoke("theirs", gatewayEvent, time.Now().Add(time.Minute))
	require.False(t, api.Answer(t).Error)
	close(release)
}

// Hooks are bounded by their limit and by what is left of the invocation, and an app that fails in them is served as before.
func TestHooksThatFailOrHangHoldUpNothing(t *testing.T) {
	for name, hook := range map[string]func(context.Context) error{
		"fails":                  func(context.Context) error { return errors.New("no such path") },
		"hangs":                  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"ignores its time's end": func(context.Context) error { time.Sleep(3 * time.Second); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := &diary{}
			api := live(t, &Environment{
				ID: "e", Handler: app, Logger: logger(t), Events: Events{Options: events.Options{Path: events.DefaultPath}},
				Hooks: Hooks{Freeze: hook, Thaw: hook, Limit: time.Minute},
			})
			for range 2 {
				<-api.Asked
				deadline := time.Now().Add(2 * time.Second)
				api.Invoke("x", gatewayEvent, deadline)
				require.False(t, api.Answer(t).Error)
				require.True(t, time.Now().Before(deadline))
			}
			<-api.Asked
		})
	}
}

func TestNoFreezeIsToldOfWhenTheEnvironmentEnds(t *testing.T) {
	app := &diary{}
	ctx, cancel := context.WithCancel(t.Context())
	e := &Environment{Logger: logger(t), Hooks: Hooks{Freeze: app.hook("freeze")}}
	cancel()
	e.rest(ctx, time.Time{})
	require.Empty(t, app.read())
}
