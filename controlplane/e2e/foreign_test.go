package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// abandon sends so many requests, beside those that are held, that the app answers after that time, whether or not somebody is
// there, and leaves when the app has them all.
func (s site) abandon(held, n int, works time.Duration) {
	s.t.Helper()
	s.eventuallyInFlight(held)
	ctx, leave := context.WithCancel(s.t.Context())
	var sent []asked
	for range n {
		r := s.request(http.MethodGet, fmt.Sprintf("/stubborn?ms=%d", works.Milliseconds()), nil)
		sent = append(sent, s.ask(r.WithContext(ctx)))
	}
	s.eventuallyInFlight(held + n)
	leave()
	for _, a := range sent {
		require.Error(s.t, (<-a).err)
	}
	s.Eventually("left", func() error { return s.atMost(s.Function(s.name).InFlight, held) })
}

func (s site) atMost(n, most int) error {
	if n > most {
		return fmt.Errorf("%d, more than %d", n, most)
	}
	return nil
}

// Scenario 39: nine clients leave handlers that work on. Their slots count as taken; whoever comes is served by this instance
// or by another one, which is started, and nobody is refused.
func TestAnAppThatWorksOnKeepsItsSlots(t *testing.T) {
	t.Parallel()
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.Max = 10, 0, 3
	stack := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}})
	for _, protocol := range controlplanetest.Protocols { // HTTP/2 resets streams
		t.Run(string(protocol), func(t *testing.T) {
			s := newSite(t, stack, "web", protocol)
			release := s.hold()
			defer release()
			s.abandon(1, 9, 6*time.Second)
			var all []asked
			for range 12 {
				all = append(all, s.ask(s.request(http.MethodGet, "/sleep?ms=50", nil)))
			}
			for _, a := range all {
				answer := a.wait(s)
				require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
			}
			s.Eventually("seen", func() error {
				if n := s.Function("web").Foreign; n != 9 {
					return fmt.Errorf("%d slots are foreign", n)
				}
				return nil
			})
			answer := s.get("/hello")
			require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
			s.Eventually("free again", func() error { return s.atMost(s.Function("web").Foreign, 0) })
		})
	}
}

// Requests that run into timeouts.first_byte leave their handlers behind, and those that come after are served.
func TestTimeoutsLeaveNoSlotsThatNobodyCanHave(t *testing.T) {
	t.Parallel()
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Concurrency, f.Scaling.Max = 10, 3
	f.Timeouts.FirstByte = time.Second
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}}), "web", controlplanetest.HTTP1)
	var slow []asked
	for range 10 {
		slow = append(slow, s.ask(s.request(http.MethodGet, "/stubborn?ms=8000", nil)))
	}
	for _, a := range slow {
		answer := a.wait(s)
		require.Equal(t, http.StatusGatewayTimeout, answer.StatusCode)
		require.Equal(t, "response_timeout", answer.cause(s))
	}
	for range 9 {
		answer := s.get("/hello")
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	}
}

// A drained instance finishes what its clients have left behind, and those that come meanwhile are served elsewhere.
func TestADrainLetsAbandonedHandlersFinish(t *testing.T) {
	t.Parallel()
	var seen journal
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Concurrency, f.Scaling.Max = 10, 3
	o := controlplanetest.Options{Functions: []controlplanetest.Function{f}}
	seen = keepJournal(t, &o)
	s := newSite(t, controlplanetest.Start(t, o), "web", controlplanetest.HTTP1)
	eventuallyReady(s.Stack, "web", 1)
	old := s.Instances("web")[0]
	s.abandon(0, 9, 4*time.Second)
	require.Empty(t, seen.of(t, "late"))
	ctx, leave := context.WithCancel(t.Context())
	late := s.ask(s.request(http.MethodGet, "/stubborn?ms=4000&key=late", nil).WithContext(ctx))
	seen.eventually(s, "late", contract.Started)
	leave()
	<-late
	status, body := s.AdminPost("/api/v1/instances/" + old.ID + "/drain")
	require.Equal(t, http.StatusAccepted, status, body)
	for range 10 {
		answer := s.get("/hello")
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	}
	s.Eventually("ended", func() error {
		if n := s.Function("web").Ends[string(wire.ReasonOperator)]; n != 1 {
			return fmt.Errorf("%d ended so", n)
		}
		return nil
	})
	require.Equal(t, []contract.Name{contract.Started, contract.Cancelled}, seen.names(t, "late"), "it was told, and not cut")
}

// refusing is a site with one slot, on at most that many instances.
func refusing(t *testing.T, instances int) site {
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Concurrency, f.Scaling.Max, f.Scaling.Min = 1, instances, instances
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}}), "web", controlplanetest.HTTP1)
	eventuallyReady(s.Stack, "web", instances)
	return s
}

// whole is for requests that are sent again as they were.
const whole = 512 << 10

// A request that finds its slot taken goes back to the queue and reaches the app once, exactly as it was.
func TestLongARefusedRequestReachesTheAppAsItWas(t *testing.T) {
	t.Parallel()
	s := refusing(t, 1)
	const odd = "//a%2Fb/./../c;d=e:f@g!$&'()*+,~[]{}|^`\"<>\\?q=1&q=%20&r=a+b/?[]{}|^`\"<>\\=%2f"
	for name, c := range map[string]struct{ target, want string }{
		"odd": {"/inspect" + odd, "/inspect" + odd}, "prefix": {"/web/inspect//x?y", "/inspect//x?y"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			before := s.Function("web").Returned
			s.abandon(0, 1, 2*time.Second)
			r := s.request(http.MethodGet, c.target, nil)
			if name == "prefix" {
				r.Host = "other.test"
			}
			r.Header.Set("X-Mine", "1")
			got := s.do(r).inspection(t)
			require.Equal(t, before+1, s.Function("web").Returned, "or this test shows nothing")
			require.Equal(t, c.want, got.RequestURI)
			require.Equal(t, r.Host, got.Host)
			require.Equal(t, []string{"1"}, got.Header["X-Mine"])
			require.Equal(t, []string{r.Host}, got.Header["X-Forwarded-Host"])
			require.Len(t, got.Header["X-Forwarded-For"], 1)
			for header := range got.Header {
				require.NotContains(t, header, "Lambda-Dispatch")
				require.NotContains(t, header, "X-Envoy")
			}
		})
	}
	for _, protocol := range controlplanetest.Protocols {
		for size, stated := range map[int64]bool{0: true, 1000: false, whole: true} {
			t.Run(fmt.Sprintf("%s/%d bytes, length stated: %t", protocol, size, stated), func(t *testing.T) {
				s := newSite(t, s.Stack, "web", protocol)
				before := s.Function("web").Returned
				s.abandon(0, 1, 2500*time.Millisecond)
				echoed(s, size, stated)
				require.Equal(t, before+1, s.Function("web").Returned, "or this test shows nothing")
			})
		}
	}
}

// What cannot be sent again is refused to the client, with a cause, and when to come again.
func TestWhatCannotBeSentAgainIsRefused(t *testing.T) {
	t.Parallel()
	s := refusing(t, 1)
	unfinished, finish := io.Pipe()
	defer finish.Close()
	for name, r := range map[string]func() *http.Request{
		"too long":   func() *http.Request { return s.request(http.MethodPost, "/sha", contract.Bytes(whole+1)) },
		"unfinished": func() *http.Request { return s.request(http.MethodPost, "/sha", unfinished) },
		"upgrade": func() *http.Request {
			r := s.request(http.MethodGet, "/ws", nil)
			r.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
				"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
			}
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.abandon(0, 1, 4*time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), controlplanetest.Patience) // one that is not refused might never end
			defer cancel()
			requireOverload(s, s.do(r().WithContext(ctx)))
			s.Eventually("free again", func() error { return s.atMost(s.Instances("web")[0].Reported, 0) })
		})
	}
}

// Clients that leave on all instances together: a request that one of those has refused is not sent to the next that looks as
// free.
func TestARequestIsNotRefusedByOneInstanceAfterTheOther(t *testing.T) {
	t.Parallel()
	s := refusing(t, 2)
	s.abandon(0, 2, 3*time.Second)
	answer := s.get("/hello")
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	require.EqualValues(t, 1, s.Function("web").Returned)
}

func requireOverload(s site, a answer) {
	s.t.Helper()
	require.Equal(s.t, http.StatusServiceUnavailable, a.StatusCode, a.body)
	require.Equal(s.t, "overload", a.cause(s))
	require.Equal(s.t, "1", a.Header.Get("Retry-After"))
	require.Empty(s.t, a.Header.Get(wire.RefusedHeader))
}

// Redirects of apps are for their clients, and nobody but a peer can have a request sent again.
func TestOnlyPeersSendRequestsAgain(t *testing.T) {
	t.Parallel()
	s := refusing(t, 1)
	client := *s.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = &client
	r := s.request(http.MethodGet, "/status?code=307&location=http://web.test/hello", nil)
	r.Header.Set(wire.RefusedHeader, "web/forged")
	answer := s.do(r)
	require.Equal(t, http.StatusTemporaryRedirect, answer.StatusCode, answer.body)
	require.Equal(t, "http://web.test/hello", answer.Header.Get("Location"))
	r = s.request(http.MethodGet, "/inspect", nil)
	r.Header.Set(wire.RefusedHeader, "web/forged")
	for header := range s.do(r).inspection(t).Header {
		require.False(t, strings.HasPrefix(header, "Lambda-Dispatch"), header)
	}
	require.Zero(t, s.Function("web").Returned)
}
