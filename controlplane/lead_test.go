package controlplane

import (
	"context"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/uplink"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A caretaker leases nothing of an instance that was told to finish: its peer may refuse what comes.
func TestACaretakerHearsWhoWasToldToFinish(t *testing.T) {
	cfg := config.Default()
	f := config.DefaultFunction()
	f.Name = "web"
	cfg.Functions = []config.Function{f}
	log, _ := logtest.NewNullLogger()
	c := newCaretaker(&cfg, log)
	t.Cleanup(func() { require.NoError(t, c.close()) })
	c.dispatcher.Start()
	t.Cleanup(c.dispatcher.Abandon)
	relay := overheard{nobody{}, c.dispatcher}
	relay.Expect(relays.Expectation{Instance: "one", Function: "web", Endpoint: "web/0001"})
	c.dispatcher.Up(relays.Up{Instance: "one", Environment: "e", Slots: 10})
	require.Equal(t, 1, c.dispatcher.Functions()[0].Ready)
	relay.Drain("one", wire.ReasonRotation)
	require.Zero(t, c.dispatcher.Functions()[0].Ready)
}

// What relays have confirmed is what all of them have: one that has said nothing yet has confirmed nothing.
func TestARelayThatHasSaidNothingHasConfirmedNothing(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	a := newAttached(dispatch.New(dispatch.Options{Log: log, Caretaker: true}), "", log)
	a.lead(1)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = speaker(a, "a", log).Run(ctx)
	}()
	t.Cleanup(func() {
		end()
		<-ended
		a.leader.Resign()
	})
	require.Eventually(t, func() bool { return !a.leader.Relays()["a"].Confirmed.IsZero() }, 10*time.Second, time.Millisecond)
	mute, err := a.leader.Here()(ctx)
	require.NoError(t, err)
	require.NoError(t, mute.Send(&uplink.Up{Observed: &tables.Observed{Hello: &tables.Hello{Relay: "b", Boot: "b"}}}))
	require.Eventually(t, func() bool {
		names, confirmed := a.attached()
		if len(names) == 2 {
			require.Zero(t, confirmed)
		}
		return len(names) == 2
	}, 10*time.Second, time.Millisecond)
	for range 20 { // the order is a map's
		if names, confirmed := a.attached(); len(names) == 2 {
			require.Zero(t, confirmed)
		}
	}
}

func speaker(a *attached, name string, log logrus.FieldLogger) *uplink.Relay {
	r := uplink.NewRelay(uplink.Options{
		Hello: tables.Hello{Relay: name, Boot: name}, Dials: map[string]uplink.Dial{"leader": a.leader.Here()}, Log: log,
	})
	r.Connect(nobody{})
	return r
}
