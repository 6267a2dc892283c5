package instance_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A peer says that its environment has served enough, goes on until it is told to drain, and reports that the environment ends.
func TestAnEnvironmentThatHasServedEnoughSaysSo(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	inv := relaytest.Invocation(2, relay)
	inv.MaxRequests = 2
	gauge := wear.New(time.Now(), 0, nil)
	r := serve(t, instance.Config{Invocation: inv, Handler: http.NotFoundHandler(), Wear: gauge})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	get(t, client, "/")
	get(t, client, "/")
	require.Equal(t, wire.NoticeWornRequests, control.Await(t, wire.KindNotice).Notice)
	get(t, client, "/")
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonRotation})
	report := r.end(t)
	require.Equal(t, wire.ReasonRotation, report.Reason)
	require.Equal(t, wire.NoticeWornRequests, report.Worn)
}

// The control plane may find that the app answers with errors here and not elsewhere. Then the environment ends with the instance.
func TestAnEnvironmentThatFailsEnds(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	for reason, worn := range map[wire.Reason]wire.Notice{wire.ReasonFailing: wire.NoticeWornErrors, wire.ReasonScaleIn: ""} {
		gauge := wear.New(time.Now(), 0, nil)
		r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: http.NotFoundHandler(), Wear: gauge})
		control, _ := relay.Welcome(t)
		control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: reason})
		report := r.end(t)
		require.Equal(t, reason, report.Reason)
		require.Equal(t, worn, report.Worn)
	}
}

// One whose memory runs out drains by its own decision, before it is used up.
func TestAnEnvironmentWhoseMemoryRunsOutDrains(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	var used atomic.Int64
	used.Store(50 << 20)
	gauge := wear.New(time.Now(), 512<<20, used.Load)
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { used.Add(4 << 20) })
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: handler, Wear: gauge})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	drained := make(chan struct{})
	go func() {
		require.Equal(t, wire.ReasonWorn, control.Await(t, wire.KindDrain).Reason)
		close(drained)
	}()
	for pending := true; pending; {
		get(t, client, "/")
		require.Less(t, used.Load(), int64(512<<20))
		select {
		case <-drained:
			pending = false
		case <-time.After(5 * time.Millisecond): // between requests
		}
	}
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonWorn})
	report := r.end(t)
	require.Equal(t, wire.ReasonWorn, report.Reason)
	require.Equal(t, wire.NoticeWornMemory, report.Worn)
}
