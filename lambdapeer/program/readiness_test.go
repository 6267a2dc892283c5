package program

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/proxy"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// asked is a readiness whose app is the function, with what it says.
func asked(limit time.Duration, ask func(context.Context) error) (r *readiness, said *[]string, say func(string)) {
	said = new([]string)
	r = &readiness{probe: probe{what: "GET http://app/", ask: ask}, limit: limit, log: slog.New(slog.DiscardHandler)}
	return r, said, func(what string) { *said = append(*said, what) }
}

// An app may take as long for one answer as it may to be ready.
func TestOneProbeMayTakeAsLongAsReadinessMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, said, say := asked(time.Minute, func(ctx context.Context) error { return sleep(ctx, 50*time.Second) })
		began := time.Now()
		require.NoError(t, r.wait(t.Context(), say))
		require.Equal(t, 50*time.Second, time.Since(began))
		require.Equal(t, []string{"GET http://app/ has not answered"}, *said)
		require.NoError(t, r.wait(t.Context(), say), "it is not asked again")
	})
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// An app that loses a request while it starts answers the next one.
func TestAProbeThatIsLostIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks atomic.Int64
		r, _, say := asked(time.Minute, func(ctx context.Context) error {
			if asks.Add(1) < 3 {
				return sleep(ctx, time.Hour)
			}
			return nil
		})
		began := time.Now()
		require.NoError(t, r.wait(t.Context(), say))
		require.Less(t, time.Since(began), 10*time.Second)
		require.EqualValues(t, 3, asks.Load(), "few at once, and few in all")
	})
}

func TestReadinessSaysWhatTheAppDoesWhenThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r, said, say := asked(10*time.Second, func(ctx context.Context) error {
			switch at := time.Since(began); {
			case at < 2*time.Second:
				return errors.New("boom")
			case at < 4*time.Second:
				return statusError(503)
			default:
				return sleep(ctx, time.Hour)
			}
		})
		err := r.wait(t.Context(), say)
		require.EqualError(t, err, "not ready within 10s: GET http://app/ has not answered")
		require.Equal(t, []string{"GET http://app/: boom", "GET http://app/ answered 503", "GET http://app/ has not answered"}, *said)
	})
}

func TestProbesSayWhatTheAppDid(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := free.Addr().String()
	require.NoError(t, free.Close())
	handler := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	failing := handler(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	missing := handler(http.NotFound)
	closing := handler(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	other := func(greeting string) string { // a server of another protocol, which need not wait for a request
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				_, _ = io.WriteString(conn, greeting)
				_ = conn.Close()
			}
		}()
		return l.Addr().String()
	}
	greeting, hangingUp := other("SSH-2.0-x\r\n"), other("")

	for name, tt := range map[string]struct{ address, http, tcp string }{
		"nobody listens": {nobody, "GET http://" + nobody + "/up: connection refused", "TCP " + nobody + ": connection refused"},
		"it fails":       {failing, "GET http://" + failing + "/up answered 500", ""},
		"it answers 404": {missing, "", ""},
		"it closes":      {closing, "GET http://" + closing + "/up: the app closed the connection without an answer", ""},
		"it hangs up":    {hangingUp, "GET http://" + hangingUp + "/up: the app closed the connection without an answer", ""},
		"it is no HTTP":  {greeting, "GET http://" + greeting + "/up: the answer is not HTTP", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxy.New(tt.address, false, slog.New(slog.DiscardHandler))
			defer p.CloseIdle()
			for want, probe := range map[string]probe{"http " + tt.http: httpProbe(tt.address, "/up", p.Get), "tcp " + tt.tcp: tcpProbe(tt.address)} {
				for range 20 { // what answers too early meets net/http at any moment
					err := probe.ask(t.Context())
					if want == "http " || want == "tcp " {
						require.NoError(t, err)
						continue
					}
					require.Error(t, err)
					require.Equal(t, want[strings.Index(want, " ")+1:], probe.did(err))
				}
			}
		})
	}
}

func TestAnAppThatListensOnIPv6OnlyIsNamed(t *testing.T) {
	six, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	defer six.Close()
	_, port, err := net.SplitHostPort(six.Addr().String())
	require.NoError(t, err)
	probe := tcpProbe("127.0.0.1:" + port)
	require.Equal(t, "TCP 127.0.0.1:"+port+": connection refused; [::1]:"+port+" accepts connections: the app listens on IPv6 only",
		probe.did(probe.ask(t.Context())))
}

// early is the event of an invocation by a control plane that understands an early hello.
func early(t *testing.T, relay *relaytest.Relay) string {
	t.Helper()
	inv := relaytest.Invocation(5, relay)
	inv.Features = wire.Features{wire.FeatureEarlyHello}
	data, err := json.Marshal(inv)
	require.NoError(t, err)
	return string(data)
}

// The peer says within its first invocation what it waits for.
func TestAPeerSaysWhatItWaitsFor(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	answers := make(chan int, 1)
	answers <- http.StatusServiceUnavailable
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		status := <-answers
		answers <- status
		w.WriteHeader(status)
	})
	startHasty(t, map[string]string{apiVar: api.Address(), portVar: portOf(app)})
	api.Invoke("one", early(t, relay), time.Now().Add(time.Minute))
	control, hello := relay.Welcome(t)
	require.Equal(t, "GET "+app.URL+"/ answered 503", hello.Waiting)
	<-answers
	answers <- http.StatusOK
	control.Await(t, wire.KindReady)
	res, err := relay.Client(t, true).Get("http://app/")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
}

// Without the feature the peer waits before it dials: an earlier relay would take the instance for up.
func TestAnEarlierControlPlaneHearsNoEarlyHello(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), timeoutVar: "300ms"})
	api.Invoke("one", payload(t, 5, relay), time.Now().Add(time.Minute))
	require.Equal(t, wire.ReasonAppUnhealthy, reportOf(t, api.Answer(t)).Reason)
	require.Zero(t, relay.Dials(wire.ControlPath)+relay.Dials(wire.TunnelPath))
}

func TestTCPReadinessNeedsNoAnswer(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	var asks atomic.Int64
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		asks.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), probeVar: "tcp"})
	api.Invoke("one", early(t, relay), time.Now().Add(time.Minute))
	_, hello := relay.Welcome(t)
	require.Empty(t, hello.Waiting)
	require.Zero(t, asks.Load())
}
