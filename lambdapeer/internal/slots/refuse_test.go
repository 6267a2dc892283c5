package slots

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/problem"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// full is a server whose only slot is taken.
func full(t *testing.T, mark string) (client *http.Client, url string) {
	t.Helper()
	return fullBy(t, New(1, mark))
}

func fullBy(t *testing.T, g *Gate) (client *http.Client, url string) {
	t.Helper()
	require.True(t, g.acquire(t.Context(), 0))
	return serve(t, g, func(http.ResponseWriter, *http.Request) { t.Error("the app has seen it") })
}

// serve starts a server behind a gate, and returns a client that follows no redirect.
func serve(t *testing.T, g *Gate, app http.HandlerFunc) (client *http.Client, url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(g.Wrap(app))
	server.Config.DisableGeneralOptionsHandler = true
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, server.URL
}

func refusal(t *testing.T, client *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	if r.Header.Get("X-Forwarded-Proto") == "" {
		r.Header.Set("X-Forwarded-Proto", "https")
	}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), `"cause":"overload"`)
	return response, string(body)
}

func requestOf(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	return r
}

const mark = "web/i-1"

// What Envoy can send again is asked for, at its own URL.
func TestARefusalAsksForTheRequestAgain(t *testing.T) {
	client, url := full(t, mark)
	const odd = "/a//%2Fb/../;c=[d]{e}|^`\"<>\\?q=%20&r=?"
	for name, body := range map[string]io.Reader{
		"no body": nil, "a body": strings.NewReader("abc"), "as long as may be": strings.NewReader(strings.Repeat("x", wire.MaxReplay)),
		"no stated length": io.MultiReader(strings.NewReader("abc")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some wait
			r := requestOf(t, http.MethodPost, url, body)
			r.URL.Opaque, r.Host = odd, "web.test:80"
			response, _ := refusal(t, client, r)
			require.Equal(t, wire.RefusedStatus, response.StatusCode)
			require.Equal(t, "https://web.test:80"+odd, response.Header.Get("Location"))
			require.Equal(t, mark, response.Header.Get(wire.RefusedHeader))
		})
	}
}

// A body of a stated length is waited for, also when its client sends it slowly.
func TestARefusalWaitsForTheRestOfABody(t *testing.T) {
	g := New(1, mark)
	client, url := fullBy(t, g)
	body, rest := io.Pipe()
	go func() {
		_, _ = io.WriteString(rest, "a")
		for _, refused := g.Counts(); refused == 0; _, refused = g.Counts() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * endlessWait) // longer than one that may never end is waited for
		_, _ = io.WriteString(rest, "b")
		_ = rest.Close()
	}()
	r := requestOf(t, http.MethodPost, url, body)
	r.ContentLength = 2
	response, _ := refusal(t, client, r)
	require.Equal(t, wire.RefusedStatus, response.StatusCode)
}

// What it cannot send again is refused, and the client told when to come back.
func TestARefusalOfWhatCannotBeSentAgain(t *testing.T) {
	unfinished := func() io.ReadCloser {
		r, w := io.Pipe()
		t.Cleanup(func() { w.Close() })
		return r
	}
	for name, change := range map[string]func(r *http.Request){
		"second time":     func(r *http.Request) { r.Header.Set(wire.RefusedHeader, "web/i-0") },
		"too long":        func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", wire.MaxReplay+1))) },
		"stated too long": func(r *http.Request) { r.Body, r.ContentLength = unfinished(), wire.MaxReplay+1 },
		"unfinished":      func(r *http.Request) { r.Body = unfinished() },
		"trailers": func(r *http.Request) {
			r.Body, r.Trailer = io.NopCloser(strings.NewReader("x")), http.Header{"X-Trailer": {"1"}}
		},
		"no scheme": func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "gopher") },
		"odd host":  func(r *http.Request) { r.Host = "a,b" },
		"no path":   func(r *http.Request) { r.Method, r.URL.Opaque = http.MethodOptions, "*" },
		"odd path":  func(r *http.Request) { r.URL.Opaque = "/\xc3\xa4" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait
			client, url := full(t, mark)
			r := requestOf(t, http.MethodPost, url, nil)
			change(r)
			response, _ := refusal(t, client, r)
			require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
			require.Equal(t, mark, response.Header.Get(wire.RefusedHeader))
			require.Equal(t, retryAfter, response.Header.Get("Retry-After"))
			require.Empty(t, response.Header.Get("Location"))
		})
	}
}

// An earlier control plane, or HTTP/1.1 to the peer, which only upgrades have.
func TestARefusalThatNobodyFollows(t *testing.T) {
	client, url := full(t, "")
	response, _ := refusal(t, client, requestOf(t, http.MethodGet, url, nil))
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, "1", response.Header.Get(wire.RefusedHeader))

	_, url = full(t, mark)
	response, _ = refusal(t, http.DefaultClient, requestOf(t, http.MethodGet, url, nil))
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
}

// The app does not see what a request comes back with.
func TestTheMarkIsRemoved(t *testing.T) {
	h := New(1, mark).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		require.Empty(t, r.Header.Values(wire.RefusedHeader))
	}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(wire.RefusedHeader, "web/i-0")
	h.ServeHTTP(httptest.NewRecorder(), r)
}

// A request that cannot have reached its app goes to another instance, once, if Envoy has all of it.
func TestWhatTheAppHasNotSeenGoesElsewhere(t *testing.T) {
	g := New(1, mark)
	client, url := serve(t, g, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Dispatch-Refused", "forged")
		if !problem.OwnerOf(wrapped{w}).Refuse() {
			problem.NoAnswer.Write(w)
		}
	})
	response, _ := refusal(t, client, requestOf(t, http.MethodGet, url+"/a?b=c", nil))
	require.Equal(t, wire.RefusedStatus, response.StatusCode)
	require.Equal(t, "https://"+strings.TrimPrefix(url, "http://")+"/a?b=c", response.Header.Get("Location"))
	require.Equal(t, []string{mark}, response.Header.Values(wire.RefusedHeader))

	again := requestOf(t, http.MethodGet, url, nil)
	again.Header.Set(wire.RefusedHeader, "web/i-0")
	for _, r := range []*http.Request{again, requestOf(t, http.MethodPost, url, strings.NewReader("abc"))} {
		r.Header.Set("X-Forwarded-Proto", "https")
		response, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusBadGateway, response.StatusCode)
		require.Equal(t, wire.CauseNoAnswer, response.Header.Get(wire.CauseHeader))
	}
	require.Zero(t, g.InFlight())
}

// wrapped is a writer around another one.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }
