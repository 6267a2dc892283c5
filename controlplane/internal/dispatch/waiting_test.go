package dispatch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func oneMinimum(f *config.Function) { f.Scaling.Min = 1 }

func (w *world) waits(id, what string) {
	w.Waiting(relays.Waiting{Instance: id, Environment: "env", What: what, Peer: relays.Peer{Features: wire.PeerFeatures()}})
}

// pass lets virtual time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// The status of a start says for what it waits while it waits.
func TestTheStatusSaysWhatAStartWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, oneMinimum)
		id := w.instances()[0]
		require.Empty(t, w.Functions()[0].BlockedDetail, "it has only begun")
		pass(3 * time.Second)
		const nobody = "its peer: nobody dialled for 3s: is lambdapeer in the image, does the subnet reach the relay?"
		require.Equal(t, nobody, w.Instances()[0].WaitsFor)
		require.Equal(t, "a start waits for "+nobody, w.Functions()[0].BlockedDetail)

		w.waits(id, "GET http://127.0.0.1:8080/: connection refused")
		pass(time.Second)
		const refused = "its app, for 1s: GET http://127.0.0.1:8080/: connection refused"
		require.Equal(t, refused, w.Instances()[0].WaitsFor)
		require.Equal(t, "env", w.Instances()[0].Environment)
		require.Equal(t, "a start waits for "+refused, w.Functions()[0].BlockedDetail)
		w.waits(id, "GET http://127.0.0.1:8080/ answered\n503")
		pass(time.Second)
		require.Equal(t, "its app, for 2s: GET http://127.0.0.1:8080/ answered 503", w.Instances()[0].WaitsFor)

		w.comesUp(id)
		require.Equal(t, "Envoy to know its endpoint", w.Instances()[0].WaitsFor)
		w.publish()
		require.Empty(t, w.Instances()[0].WaitsFor)
		require.Empty(t, w.Functions()[0].BlockedDetail)
		w.waits(id, "too late")
		require.Empty(t, w.Instances()[0].WaitsFor)
	})
}

func TestOfManyStartsTheOldestIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 3 })
		pass(4 * time.Second)
		require.Regexp(t, "^3 starts wait, the oldest for its peer: nobody dialled for 4s", w.Functions()[0].BlockedDetail)
	})
}

// A start that is given up because it took too long says what it waited for; what its invocation ends with says more.
func TestAStartTimeoutSaysWhatTheStartWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, oneMinimum)
		id := w.instances()[0]
		pass(61 * time.Second)
		f := w.Functions()[0]
		require.Equal(t, string(scaler.StartTimeout), f.Blocked)
		require.Contains(t, f.BlockedDetail, "the last failure: it waited for its peer: nobody dialled for 1m0s: is lambdapeer in the image")
		require.Contains(t, w.Instances()[0].WaitsFor, "nobody dialled for 1m0s")

		w.end(id, provider.End{Cause: scaler.AppUnhealthy, Detail: "app_unhealthy: GET http://127.0.0.1:8080/: connection refused"})
		f = w.Functions()[0]
		require.Equal(t, string(scaler.AppUnhealthy), f.Blocked)
		require.Contains(t, f.BlockedDetail, "connection refused")
		require.NotContains(t, f.BlockedDetail, "nobody dialled for 1m0s")
	})
}

func TestAClientHearsThatTheAppIsStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Queue.Timeout = 7 * time.Second })
		got := w.acquire(t.Context())
		w.waits(w.instances()[0], "GET / answered 503")
		requireRefused(t, <-got, admission.Evicted, admission.AppStarting)
	})
}

// A peer that was there and has gone is not taken for one that never came.
func TestAPeerThatWentWhileItsAppStartedIsNotMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, oneMinimum)
		id := w.instances()[0]
		w.waits(id, "GET / answered 503")
		w.Down(id, nil, relays.ErrControlEnded)
		require.Equal(t, "its peer, which dialled and is not heard any more", w.Instances()[0].WaitsFor)
	})
}

// The start timeout is what the relay is told, and what it tells a peer that waits.
func TestTheRelayKnowsWhenAStartIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, oneMinimum)
		w.instances()
		require.Equal(t, time.Now().Add(time.Minute), w.expected[0].StartBy)
	})
}

// An older lambdapeer is named, with what it costs, in status and, once, in the log.
func TestAPeerThatLacksSomethingIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 2 })
		require.Empty(t, w.Functions()[0].Warnings)
		ids := w.instances()
		w.publish()
		w.Up(relays.Up{Instance: ids[0], Environment: "a", Slots: 10, Peer: relays.Peer{Build: "v0.1.0"}})
		w.Up(relays.Up{Instance: ids[1], Environment: "b", Slots: 10, Peer: relays.Peer{Build: "v9", Features: wire.PeerFeatures()}})
		warnings := w.Functions()[0].Warnings
		require.Len(t, warnings, 1)
		require.Equal(t, operator.PeerLacks, warnings[0].Word)
		require.Contains(t, warnings[0].Detail, "lambdapeer v0.1.0 is older than this control plane: ")
		for _, d := range wire.Lacks(nil) {
			require.Contains(t, warnings[0].Detail, "without "+string(d.Feature)+", "+d.Without)
		}
		instances := w.Instances()
		require.ElementsMatch(t, [][]string{names(wire.Lacks(nil)), {}}, [][]string{instances[0].Lacks, instances[1].Lacks})

		w.end(ids[0], provider.End{Report: &wire.Report{Version: 1, Instance: ids[0], Reason: wire.ReasonShutdown}})
		require.Empty(t, w.Functions()[0].Warnings, "those that are there lack nothing")
	})
}

// Without a peer the last one counts: an operator looks at functions that are idle, too.
func TestTheLastPeerIsRemembered(t *testing.T) {
	f := &function{}
	for n := range 3 * maxBuilds {
		f.builds.meet(relays.Peer{Build: fmt.Sprint("v", n)})
	}
	require.Len(t, f.builds, maxBuilds)
	_, news := f.builds.meet(relays.Peer{Build: fmt.Sprint("v", 3*maxBuilds-1)})
	require.False(t, news, "warned of before")
	_, news = f.builds.meet(relays.Peer{Build: fmt.Sprint("v", 3*maxBuilds-1), Features: wire.PeerFeatures()})
	require.True(t, news, "the same name, another build")
	require.Len(t, f.builds, maxBuilds)
	_, news = f.builds.meet(relays.Peer{})
	require.True(t, news)
	require.Contains(t, f.builds[len(f.builds)-1].cost(), "lambdapeer of a build that does not say which it is is older")
}

// An app that serves one request at a time is named while it does, and for a while after.
func TestAnAppThatServesOneAtATimeIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		defer lease.Release()
		w.Up(relays.Up{Instance: id, Environment: "env", Slots: 10, Peer: relays.Peer{Features: wire.PeerFeatures()}})
		w.Notice(id, "of_tomorrow")
		require.Empty(t, w.Functions()[0].Warnings)
		w.Notice(id, wire.NoticeSerialApp)
		warnings := w.Functions()[0].Warnings
		require.Len(t, warnings, 1)
		require.Equal(t, operator.SerialApp, warnings[0].Word)
		require.Contains(t, warnings[0].Detail, "although an instance may get 10 at once")
		pass(2 * time.Hour)
		require.Empty(t, w.Functions()[0].Warnings)
	})
}
