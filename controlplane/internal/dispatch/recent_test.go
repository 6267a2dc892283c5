package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func (w *world) ask(id string) chan result {
	out := make(chan result, 1)
	go func() {
		l, err := w.Acquire(w.t.Context(), admission.Request{Function: "web", ID: id})
		out <- result{l, err}
	}()
	synctest.Wait()
	return out
}

// The first request waits for an instance in a new environment; the next finds it; one more waits for a slot that is given
// back; the last one waits for the environment to be started again.
func TestARequestKnowsWhatItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Concurrency, f.Scaling.Max = 1, 1 })
		began := time.Now()
		first := w.ask("first 1795893555180978")
		ids := w.instances()
		w.publish()
		time.Sleep(1234567 * time.Nanosecond)
		w.comesUp(ids[0])
		lease := (<-first).lease
		require.Equal(t, admission.Wait{
			Instance: ids[0], Arrived: began, Queue: 1234 * time.Microsecond,
			Start: admission.Cold, Began: began, Up: began.Add(1234567 * time.Nanosecond),
		}, lease.Wait())

		second := w.ask("second")
		time.Sleep(time.Second)
		lease.Release()
		lease = (<-second).lease
		require.Equal(t, time.Second, lease.Wait().Queue)
		require.Equal(t, admission.NoStart, lease.Wait().Start)
		lease.Release()
		lease = (<-w.ask("third")).lease
		require.Equal(t, admission.Wait{Instance: ids[0], Start: admission.NoStart}, lease.Wait())
		lease.Release()

		w.Down(ids[0], &wire.Report{Reason: wire.ReasonScaleIn}, nil)
		w.end(ids[0], provider.End{Report: &wire.Report{Reason: wire.ReasonScaleIn}})
		time.Sleep(2 * time.Second)
		fourth := w.ask(strings.Repeat("x", 1000))
		ids = w.instances()
		w.publish()
		time.Sleep(20 * time.Millisecond)
		w.comesUp(ids[1])
		require.Equal(t, admission.Warm, (<-fourth).lease.Wait().Start)

		var waited []string
		for _, one := range w.Recent().Waited {
			waited = append(waited, fmt.Sprint(one.RequestID[:min(6, len(one.RequestID))], " ", one.QueueMS, " ", one.Start, " ", one.Instance == ids[0]))
		}
		require.Equal(t, []string{"xxxxxx 20 warm false", "second 1000 none true", "first 1.234 cold true"}, waited, "newest first")
		require.Len(t, w.Recent().Waited[0].RequestID, maxRequestID)
	})
}

// What the relay said says more than its peer, which was turned away because of that.
func TestAStartThatTheRelayEndedSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.ask("one")
		id := w.instances()[0]
		w.publish()
		w.Down(id, nil, errors.New("the relay cannot open the endpoint's socket: read-only file system"))
		w.end(id, provider.End{Cause: scaler.Unknown, Detail: "refused: relay answered 401: no such instance is expected here", Report: &wire.Report{Reason: wire.ReasonRefused}})
		synctest.Wait()
		require.Equal(t, "the relay cannot open the endpoint's socket: read-only file system", w.Recent().Failures[0].Detail)
	})
}

func TestRecentFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Queue.Limit, f.Queue.Timeout = 1, 7*time.Second })
		waiting := w.ask("patient")
		for n := range 1000 {
			requireRefused(t, <-w.ask(fmt.Sprint("n-", n)), admission.Rejected, admission.QueueFull)
		}
		refused := time.Now()
		time.Sleep(7 * time.Second)
		err := (<-waiting).err
		requireRefused(t, result{err: err}, admission.Evicted, admission.QueueTimeout)
		var e *admission.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 7*time.Second, e.Waited)
		id := w.instances()[0]
		time.Sleep(time.Second)
		w.end(id, provider.End{Cause: scaler.Crashed, Detail: "exit status 1\nsecond line"})

		require.Equal(t, []operator.Failure{
			{At: time.Now().UTC(), Function: "web", What: operator.StartFailed, Cause: "crashed", Detail: "exit status 1 second line", Count: 1, Instance: id},
			{At: refused.Add(7 * time.Second).UTC(), Function: "web", What: operator.RequestFailed, Cause: "queue_timeout", Count: 1, RequestID: "patient", QueueMS: 7000},
			{At: refused.UTC(), Function: "web", What: operator.RequestFailed, Cause: "queue_full", Count: 1000, RequestID: "n-999"},
		}, w.Recent().Failures)
	})
}

func TestAClientThatLeavesIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx, leave := context.WithCancel(t.Context())
		got := w.acquire(ctx)
		leave()
		requireRefused(t, <-got, admission.Evicted, admission.Canceled)
		require.Empty(t, w.Recent().Failures)
		require.Empty(t, w.Recent().Waited)
	})
}

func TestARingKeepsTheLast(t *testing.T) {
	var r ring[int]
	for n := range 10 {
		r.add(n, 4)
	}
	require.ElementsMatch(t, []int{6, 7, 8, 9}, r.list)
}

// The control plane is a new one, and the environment is not.
func TestAStartInAnEnvironmentOfBeforeIsWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.used.Store(true)
		first := w.ask("first")
		w.publish()
		time.Sleep(20 * time.Millisecond)
		w.comesUp(w.instances()[0])
		require.Equal(t, admission.Warm, (<-first).lease.Wait().Start)
	})
}
