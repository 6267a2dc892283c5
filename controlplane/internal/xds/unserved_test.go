package xds_test

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A request whose connection no instance has read from is served by another instance, whatever its method: wire.EndUnserved says so.
func TestARequestThatNobodyReadGoesToAnotherInstance(t *testing.T) {
	f := startFront(t, testFunction("gone", config.Route{Path: "/gone"}))
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	nobody := f.endpoint + ".gone"
	f.set("gone",
		upstream.Endpoint{Path: f.endpoint, Health: upstream.Healthy, Weight: 1}, upstream.Endpoint{Path: nobody, Health: upstream.Unhealthy, Weight: 1})
	f.Changed("gone")
	f.eventuallyKnown(t, "gone", f.endpoint, nobody)
	ended := endUnserved(t, nobody)
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.address+"/gone", strings.NewReader("once"))
		require.NoError(t, err)
		answer, body, err := f.do(t, request)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode, body)
	}
	before := ended()
	require.NotZero(t, before, "all went elsewhere at once, so this test shows nothing")
	for range 20 {
		answer := f.send(t, "GET /gone HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode, answer.body)
	}
	require.Greater(t, ended(), before, "all upgrades went elsewhere at once")
}

// Where no instance can be reached, the client is told so, and that its request may be sent again.
func TestWhatNobodyReads(t *testing.T) {
	f := startFront(t, testFunction("gone", config.Route{Path: "/gone"}))
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	nobody := f.endpoint + ".gone"
	f.set("gone", upstream.Endpoint{Path: nobody, Health: upstream.Healthy, Weight: 1})
	f.Changed("gone")
	f.eventuallyKnown(t, "gone", nobody)
	ended := endUnserved(t, nobody)
	for _, request := range []string{
		"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n", "GET /gone HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		before := ended()
		answer := f.send(t, request)
		require.Equal(t, "503 instance_unreachable", answer.outcome(t), request)
		require.NotEmpty(t, answer.Header.Get("Retry-After"))
		require.Empty(t, answer.Header.Get(wire.RefusedHeader))
		require.Greater(t, ended(), before)
	}
}

// endUnserved listens on path as a relay that has no tunnel, and returns how many connections came.
func endUnserved(t *testing.T, path string) (ended func() int) {
	socket, err := net.Listen("unix", path)
	require.NoError(t, err)
	var mu sync.Mutex
	var n int
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			n++
			mu.Unlock()
			tasks.Go(func() { wire.EndUnserved(conn, patience) })
		}
	})
	t.Cleanup(func() { _ = socket.Close(); tasks.Wait() })
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}
