package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

const (
	slowReaders = 10
	slowSize    = 500 << 20
	// What one answer that nobody reads may fill: windows and buffers of Envoy, relay and peer, and the kernel's.
	slowFlow   = 16 << 20
	slowGrowth = 64 // MiB of a process for all readers: about a hundredth of their answers
	flowPause  = 500 * time.Millisecond
)

// Scenario 24, with one instance each.
func TestLongSlowClients(t *testing.T) {
	stack := startSites(t, func(o *controlplanetest.Options) {
		for i := range o.Functions {
			o.Functions[i].Scaling.Concurrency, o.Functions[i].Scaling.Max = slowReaders+2, 1
		}
		impatient := siteApp(t, "impatient", controlplanetest.Binary)
		impatient.Scaling.Concurrency, impatient.Scaling.Max = 2, 1
		impatient.Timeouts.Idle = 2 * time.Second
		o.Functions = append(o.Functions, impatient)
	})
	for i, k := range kinds {
		t.Run("readers/"+k.name, func(t *testing.T) {
			slowReadersCostBoundedMemory(newSite(t, stack, k.name, controlplanetest.Protocols[i%2]))
		})
	}
	t.Run("uploads", func(t *testing.T) {
		slowUploadsHoldOneSlot(newSite(t, stack, "impatient", controlplanetest.HTTP1))
	})
	t.Run("headers", func(t *testing.T) {
		slowHeadersHoldNothing(newSite(t, stack, "impatient", controlplanetest.HTTP1))
	})
}

func slowReadersCostBoundedMemory(s site) {
	process := s.process() // there is an environment to watch
	watched := watchMemory(s.t, s)
	before := relayedBytes(s)
	var answers []*http.Response
	for range slowReaders {
		response, err := slowClient(s).Do(s.request(http.MethodGet, fmt.Sprintf("/bytes?n=%d&length=true", slowSize), nil))
		require.NoError(s.t, err)
		require.EqualValues(s.t, slowSize, response.ContentLength)
		s.t.Cleanup(func() { _ = response.Body.Close() })
		answers = append(answers, response)
	}
	flowed := s.stalled() - before
	require.Less(s.t, flowed, slowReaders*slowFlow, "bytes went to where nobody reads them")
	watched.requireGrowthBelow(slowGrowth)

	require.NoError(s.t, s.inFlight(slowReaders), "each holds its slot and no other")
	require.Equal(s.t, process, s.process(), "there is room for others, on the same instance")
	for _, response := range answers {
		require.NoError(s.t, response.Body.Close())
	}
	s.eventuallyIdle()
	require.Equal(s.t, process, s.process())
}

// slowClient has a connection of its own, and reads nothing by itself: over HTTP/2 it would read far ahead.
func slowClient(s site) *http.Client {
	protocol := controlplanetest.HTTP2
	if s.client.Transport.(*http.Transport).Protocols.HTTP1() {
		protocol = controlplanetest.HTTP1
	}
	client := controlplanetest.Client(s.t, protocol)
	client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
	return client
}

// stalled waits until no byte flows from peers, and returns how many have.
func (s site) stalled() int {
	s.t.Helper()
	last, since := -1, time.Now()
	s.Eventually("stalled", func() error {
		if now := relayedBytes(s); now != last {
			last, since = now, time.Now()
			return errors.New("bytes flow")
		}
		if time.Since(since) < flowPause {
			return errors.New("too early to say")
		}
		return nil
	})
	return last
}

// relayedBytes is how many bytes came from peers.
func relayedBytes(s site) int {
	s.t.Helper()
	status, metrics := s.AdminGet("/metrics")
	require.Equal(s.t, http.StatusOK, status)
	_, rest, found := strings.Cut(metrics, `lambda_dispatch_relay_bytes_total{direction="from_peer"} `)
	require.True(s.t, found, metrics)
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	require.NoError(s.t, err)
	return int(n)
}

// slowUploadsHoldOneSlot: an upload that does not go on takes one of the two slots, and loses it after the idle timeout.
func slowUploadsHoldOneSlot(s site) {
	body, feed := io.Pipe()
	s.t.Cleanup(func() { _ = feed.Close() })
	slow := s.ask(s.request(http.MethodPost, "/sha", body))
	_, err := feed.Write(make([]byte, 1000))
	require.NoError(s.t, err)
	s.Eventually("one in flight", func() error { return s.inFlight(1) })
	for range 20 {
		require.Equal(s.t, http.StatusOK, s.get("/hello").StatusCode, "the other slot")
	}
	s.Eventually("one in flight again", func() error { return s.inFlight(1) })
	busy := s.ask(s.request(http.MethodGet, "/sse?n=50&ms=100", nil)) // never idle, and longer than the upload may be
	s.Eventually("two in flight", func() error { return s.inFlight(2) })
	require.Equal(s.t, http.StatusOK, s.get("/hello").StatusCode, "a request that waited until the upload was cut")
	s.Eventually("one in flight again", func() error { return s.inFlight(1) })
	cut := slow.wait(s)
	require.Contains(s.t, []int{http.StatusRequestTimeout, http.StatusGatewayTimeout}, cut.StatusCode, cut.body)
	require.Equal(s.t, "idle_timeout", cut.cause(s))
	require.Equal(s.t, http.StatusOK, busy.wait(s).StatusCode)
	s.eventuallyIdle()
}

// slowHeadersHoldNothing: a request begins with the end of its headers.
func slowHeadersHoldNothing(s site) {
	before := s.requests("dispatched", "")
	for range 50 {
		_, err := io.WriteString(s.dial(), "GET /hello HTTP/1.1\r\nHost: "+s.host()+"\r\nX-Slow: ")
		require.NoError(s.t, err)
	}
	require.Equal(s.t, http.StatusOK, s.get("/hello").StatusCode)
	require.Equal(s.t, before+1, s.requests("dispatched", ""))
	s.eventuallyIdle()
}
