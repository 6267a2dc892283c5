package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

const (
	cancelLimit = time.Second // in which the app must know that its client has left
	// Bodies of which all, or not all, fit into the buffers between a client and a request in the queue.
	buffered, unbuffered = 100 << 10, 20 << 20
)

var errLeft = errors.New("the client left")

// Scenarios 20 and 21, with one slot: who holds it decides who waits.
func TestClientsThatLeave(t *testing.T) {
	t.Parallel()
	var seen journal
	stack := startSites(t, func(o *controlplanetest.Options) {
		seen = keepJournal(t, o)
		for i := range o.Functions {
			o.Functions[i].Scaling.Concurrency, o.Functions[i].Scaling.Max = 1, 1
		}
	})
	t.Run("queued", func(t *testing.T) {
		eachWay(t, stack, func(t *testing.T, s site) { leavingTheQueue(t, s, seen) })
	})
	t.Run("queued with a large body", func(t *testing.T) {
		eachKind(t, stack, func(t *testing.T, s site) { leavingUnseen(t, s, seen) })
	})
	t.Run("downloading", func(t *testing.T) {
		eachWay(t, stack, func(t *testing.T, s site) { leavingADownload(t, s, seen) })
	})
	t.Run("uploading", func(t *testing.T) {
		eachWay(t, stack, func(t *testing.T, s site) { leavingAnUpload(t, s, seen) })
	})
}

// Scenario 20: no function sees the requests of clients that left while they waited, with a body or without.
func leavingTheQueue(t *testing.T, s site, seen journal) {
	const waiting = 10
	release := s.hold()
	before := s.requests("evicted", "canceled")
	key := t.Name()
	var left []asked
	ctx, leave := context.WithCancel(t.Context())
	for i := range waiting {
		r := s.request(http.MethodGet, "/hello?key="+key, nil)
		if i%2 == 1 {
			r = s.request(http.MethodPost, "/sha?key="+key, contract.Bytes(buffered))
		}
		left = append(left, s.ask(r.WithContext(ctx)))
	}
	s.eventuallyQueued(waiting)
	leave()
	for _, a := range left {
		require.ErrorIs(t, (<-a).err, context.Canceled)
	}
	s.eventuallyQueued(0)
	require.Equal(t, before+waiting, s.requests("evicted", "canceled"))
	require.Equal(t, 1, s.Function(s.name).InFlight, "the slot was taken all the time")
	release()
	require.Equal(t, http.StatusOK, s.get("/hello").StatusCode, "the next in the queue")
	s.eventuallyIdle()
	require.Empty(t, seen.names(t, key))
}

// Scenario 20, what cannot hold: over HTTP/1.1 the end of a connection comes behind the body's last byte, and nobody reads
// what fills the buffers of a request that waits. So such a request keeps its place. If the app gets to see it at all,
// then as a body that breaks off.
func leavingUnseen(t *testing.T, s site, seen journal) {
	release := s.hold()
	ctx, leave := context.WithCancel(t.Context())
	key := t.Name()
	left := s.ask(s.request(http.MethodPost, "/upload-cancel?ms=0&key="+key, contract.Bytes(unbuffered)).WithContext(ctx))
	s.eventuallyQueued(1)
	leave()
	require.ErrorIs(t, (<-left).err, context.Canceled)
	release()
	s.eventuallyIdle()
	require.NotContains(t, seen.names(t, key), contract.CleanEOF)
	if len(seen.names(t, key)) > 0 {
		seen.eventually(s, key, contract.ReadError)
	}
}

// Scenario 21: the app is told within a second.
func leavingADownload(t *testing.T, s site, seen journal) {
	process := s.process()
	for _, stated := range []bool{true, false} {
		key := fmt.Sprint(t.Name(), stated)
		response, err := s.client.Do(s.request(http.MethodGet, fmt.Sprintf("/bytes?n=1000000000&length=%t&key=%s", stated, key), nil))
		require.NoError(t, err)
		_, err = io.CopyN(io.Discard, response.Body, 1<<20)
		require.NoError(t, err)
		left := time.Now()
		require.NoError(t, response.Body.Close())
		told := seen.eventually(s, key, contract.Cancelled).Time
		require.Less(t, told.Sub(left), cancelLimit)
		s.eventuallyIdle()
		require.NotContains(t, seen.names(t, key), contract.Finished)
	}
	require.Equal(t, process, s.process(), "the instance is still in service")
}

// Scenario 21: a body that broke off never looks whole.
func leavingAnUpload(t *testing.T, s site, seen journal) {
	process := s.process()
	for _, length := range []int64{-1, 1 << 20} {
		key := fmt.Sprint(t.Name(), length)
		body, feed := io.Pipe()
		r := s.request(http.MethodPost, "/upload-cancel?ms=1&key="+key, body)
		r.ContentLength = length
		left := s.ask(r)
		_, err := feed.Write(make([]byte, 64<<10))
		require.NoError(t, err)
		seen.eventually(s, key, contract.Started)
		require.NoError(t, feed.CloseWithError(errLeft)) // a client that gives up its connection or its stream
		require.Error(t, (<-left).err)
		seen.eventually(s, key, contract.ReadError)
		s.eventuallyIdle()
		require.NotContains(t, seen.names(t, key), contract.CleanEOF)
	}
	require.Equal(t, process, s.process(), "the instance is still in service")
}

// Scenario 22: what waited too long gets 504, is gone from every count, and does not take the slot that is freed later.
func TestRequestsThatWaitTooLong(t *testing.T) {
	t.Parallel()
	const waiting = 5
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Concurrency, f.Scaling.Max = 1, 1
	f.Queue.Timeout = 1500 * time.Millisecond
	o := controlplanetest.Options{Functions: []controlplanetest.Function{f}}
	seen := keepJournal(t, &o)
	s := newSite(t, controlplanetest.Start(t, o), "web", controlplanetest.HTTP1)
	s.eventuallyIdle()
	release := s.hold()

	began := time.Now()
	var late []asked
	for range waiting {
		late = append(late, s.ask(s.request(http.MethodGet, "/hello?key=late", nil)))
	}
	s.eventuallyQueued(waiting)
	for _, a := range late {
		refused := a.wait(s)
		require.Equal(t, http.StatusGatewayTimeout, refused.StatusCode)
		require.Equal(t, "queue_timeout", refused.cause(s))
	}
	require.GreaterOrEqual(t, time.Since(began), f.Queue.Timeout)
	require.Equal(t, waiting, s.requests("evicted", "queue_timeout"))
	s.eventuallyQueued(0)

	next := s.ask(s.request(http.MethodGet, "/hello?key=next", nil))
	s.eventuallyQueued(1)
	release()
	require.Equal(t, http.StatusOK, next.wait(s).StatusCode)
	s.eventuallyIdle()
	require.Empty(t, seen.names(t, "late"))
	require.Equal(t, []contract.Name{contract.Started, contract.Finished}, seen.names(t, "next"))
}
