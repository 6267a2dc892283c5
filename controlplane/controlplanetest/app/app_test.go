package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A served app, with the file that it writes its events to.
type served struct {
	*app
	url    string
	events string
	client *http.Client
}

func serve(t *testing.T, environment ...string) *served {
	s := &served{events: filepath.Join(t.TempDir(), "events")}
	set := map[string]string{contract.EventsVariable: s.events, "AWS_LAMBDA_LOG_STREAM_NAME": "test-environment"}
	for i := 0; i < len(environment); i += 2 {
		set[environment[i]] = environment[i+1]
	}
	var err error
	s.app, err = newApp(func(name string) string { return set[name] })
	require.NoError(t, err)
	t.Cleanup(s.close)
	backend := httptest.NewUnstartedServer(s.handler())
	backend.Config.Protocols = protocols()
	backend.Start()
	t.Cleanup(backend.Close)
	s.url, s.client = backend.URL, backend.Client()
	return s
}

// each runs a test over HTTP/1.1 and over HTTP/2 without TLS.
func each(t *testing.T, test func(t *testing.T, s *served)) {
	t.Run("http1", func(t *testing.T) { test(t, serve(t)) })
	t.Run("http2", func(t *testing.T) {
		s := serve(t)
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		t.Cleanup(transport.CloseIdleConnections)
		s.client = &http.Client{Transport: transport}
		test(t, s)
	})
}

// do returns the answer with its body read; a body that broke off is an error.
func (s *served) do(t *testing.T, r *http.Request) (*http.Response, []byte, error) {
	response, err := s.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(response.Body)
	require.NoError(t, response.Body.Close())
	return response, body, err
}

func (s *served) get(t *testing.T, path string) (*http.Response, []byte) {
	response, body, err := s.do(t, s.request(t, http.MethodGet, path, nil))
	require.NoError(t, err)
	return response, body
}

func (s *served) request(t *testing.T, method, path string, body io.Reader) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, body)
	require.NoError(t, err)
	return r
}

func (s *served) json(t *testing.T, path string, into any) {
	_, body := s.get(t, path)
	require.NoError(t, json.Unmarshal(body, into), "%s", body)
}

func TestHelloSaysWhoAnswered(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		response, body := s.get(t, "/hello")
		require.Equal(t, "hello\n", string(body))
		require.Equal(t, "test-environment", response.Header.Get(contract.EnvironmentHeader))
		require.NotEmpty(t, response.Header.Get(contract.PidHeader))
		response, _ = s.get(t, "/nothing")
		require.Equal(t, http.StatusNotFound, response.StatusCode)
		response, body = s.get(t, "/sleep?ms=x")
		require.Equal(t, http.StatusBadRequest, response.StatusCode)
		require.Contains(t, string(body), `ms: must be a whole number from 0 to 3600000, got "x"`)
	})
}

func TestReadiness(t *testing.T) {
	response, _ := serve(t).get(t, "/")
	require.Equal(t, http.StatusNoContent, response.StatusCode)
	response, _ = serve(t, contract.ReadyAfterVariable, "60000").get(t, "/")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	_, err := newApp(func(string) string { return "soon" })
	require.ErrorContains(t, err, `APP_READY_AFTER_MS: must be whole milliseconds, got "soon"`)
}

func TestEchoIsExact(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		for _, size := range []int{0, 1, 64 << 10, 9 << 20} {
			want := make([]byte, size)
			_, _ = rand.Read(want)
			for _, reader := range []io.Reader{bytes.NewReader(want), io.MultiReader(bytes.NewReader(want))} {
				r := s.request(t, http.MethodPost, "/echo", reader)
				r.Header.Set("Content-Type", "image/png")
				response, got, err := s.do(t, r)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, got), "%d bytes", size)
				require.Equal(t, "image/png", response.Header.Get("Content-Type"))
			}
		}
	})
}

func TestEchoIsFullDuplex(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		body, feed := io.Pipe()
		started := make(chan error, 1)
		go func() { _, err := io.WriteString(feed, "first"); started <- err }()
		response, err := s.client.Do(s.request(t, http.MethodPost, "/echo", body))
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		require.NoError(t, <-started)
		piece := make([]byte, 5)
		_, err = io.ReadFull(response.Body, piece)
		require.NoError(t, err)
		require.Equal(t, "first", string(piece))

		go func() { _, _ = io.WriteString(feed, "last"); _ = feed.Close() }()
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, "last", string(rest))
	})
}

func TestShaAndTrailers(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		hash := sha256.Sum256([]byte("hello"))
		want := contract.Digest{SHA256: hex.EncodeToString(hash[:]), Length: 5}
		for _, path := range []string{"/sha", "/trailers"} {
			r := s.request(t, http.MethodPost, path, io.MultiReader(strings.NewReader("hello")))
			r.Trailer = http.Header{"X-Sum": {"one", "two"}}
			response, body, err := s.do(t, r)
			require.NoError(t, err)
			var got contract.Digest
			require.NoError(t, json.Unmarshal(body, &got))
			require.Equal(t, want, got)
			if path == "/trailers" {
				require.Equal(t, []string{"one", "two"}, response.Trailer["X-Sum"])
			}
		}
	})
}

func TestBytes(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		for _, path := range []string{"/bytes?n=100000", "/bytes?n=100000&chunk=999&length=true", "/bytes?n=100000&chunk=50000&delay_ms=1"} {
			response, body := s.get(t, path)
			want, err := io.ReadAll(contract.Bytes(100_000))
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, body), path)
			require.Equal(t, strings.Contains(path, "length"), response.ContentLength == 100_000, path)
		}
		_, body := s.get(t, "/bytes?n=0")
		require.Empty(t, body)
	})
}

func TestRouteHeaderGoesBeforeThePath(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		for _, path := range []string{"/", "/nothing/hello"} {
			r := s.request(t, http.MethodGet, path, nil)
			r.Header.Set(contract.RouteHeader, "hello")
			_, body, err := s.do(t, r)
			require.NoError(t, err)
			require.Equal(t, "hello\n", string(body))
		}
	})
}

func TestInspectShowsTheRawRequest(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		uri := "/inspect//a%2Fb/../c?x=1&x=2&y[]=%20"
		r := s.request(t, http.MethodPut, "", strings.NewReader("abc"))
		r.URL.Opaque = strings.TrimPrefix(s.url, "http:") + uri
		r.Header["X-Test"] = []string{"one", "two"}
		_, body, err := s.do(t, r)
		require.NoError(t, err)
		var got contract.Inspection
		require.NoError(t, json.Unmarshal(body, &got), "%s", body)
		require.Contains(t, got.RequestURI, uri)
		require.Equal(t, http.MethodPut, got.Method)
		require.Equal(t, []string{"one", "two"}, got.Header["X-Test"])
		require.EqualValues(t, 3, got.Length)
		require.NotEmpty(t, got.Proto)
	})
}

func TestOddAnswers(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		response, _ := s.get(t, "/headers?n=50&size=100")
		require.Len(t, response.Header.Get("X-Test-0049"), 100)

		response, _ = s.get(t, "/cookies")
		require.Len(t, response.Header["Set-Cookie"], 3)
		require.Equal(t, []string{""}, response.Header["X-Empty"])
		require.Equal(t, "häagen-dazs ✓ 東京", response.Header.Get("X-Utf8"))

		for _, code := range []int{200, 204, 304, 404, 599} {
			response, _ = s.get(t, fmt.Sprintf("/status?code=%d", code))
			require.Equal(t, code, response.StatusCode)
		}
		response, _ = s.get(t, "/status?code=103")
		require.Equal(t, http.StatusBadRequest, response.StatusCode)

		r := s.request(t, http.MethodGet, "/range", nil)
		r.Header.Set("Range", "bytes=500000-500003")
		response, body, err := s.do(t, r)
		require.NoError(t, err)
		require.Equal(t, http.StatusPartialContent, response.StatusCode)
		want := make([]byte, 4)
		contract.Fill(want, 500_000)
		require.Equal(t, want, body)
	})
}

func TestEarlyHints(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		var hinted int
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			hinted = code
			return nil
		}}
		r := s.request(t, http.MethodGet, "/early-hints", nil)
		response, _, err := s.do(t, r.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, http.StatusEarlyHints, hinted)
	})
}

func TestEarly413LeavesTheBodyUnread(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		body, feed := io.Pipe()
		defer func() { _ = feed.Close() }()
		response, err := s.client.Do(s.request(t, http.MethodPost, "/early-413?close=true", body))
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
		require.NoError(t, response.Body.Close())
	})
}

func TestSSE(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		response, err := s.client.Do(s.request(t, http.MethodGet, "/sse?n=1000&ms=60000", nil))
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		line, err := bufio.NewReader(response.Body).ReadString('\n') // long before the second event
		require.NoError(t, err)
		var tick contract.Tick
		require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &tick))
		require.Equal(t, 1, tick.Event)
		require.Positive(t, tick.Written)
	})
}

func TestDeathsAreNotWholeAnswers(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		codes := make(chan int, 4)
		s.exit = func(code int) { codes <- code; panic(http.ErrAbortHandler) }
		for _, path := range []string{"/abort?after=0", "/abort?after=70000&length=true", "/exit?after=10", "/exit?after=10&length=true"} {
			_, _, err := s.do(t, s.request(t, http.MethodGet, path, nil))
			require.Error(t, err, path)
		}
		require.Len(t, codes, 2)
		require.Equal(t, exitCode, <-codes)
	})
}

func TestClientThatLeavesIsRecorded(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		response, err := s.client.Do(s.request(t, http.MethodGet, "/cancelled?key=c", nil).WithContext(ctx))
		require.NoError(t, err)
		cancel()
		_ = response.Body.Close()
		s.waitFor(t, "c", contract.Started, contract.Cancelled)
		_, _ = s.get(t, "/hello?key=h")
		s.waitFor(t, "h", contract.Started, contract.Finished)
		_, _, err = s.do(t, s.request(t, http.MethodGet, "/abort?key=a", nil))
		require.Error(t, err)
		s.waitFor(t, "a", contract.Started, contract.Aborted)
	})
}

// A slow context has ended before it says so to those who wait for its end by AfterFunc: a handler that sees its end may be faster.
type slow struct {
	context.Context
	done chan struct{}
}

func (s slow) Done() <-chan struct{} { return s.done }

func (s slow) Err() error {
	select {
	case <-s.done:
		return context.Canceled
	default:
		return nil
	}
}

func (s slow) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }

func TestAHandlerThatSeesItsClientLeaveFirstIsCancelledAllTheSame(t *testing.T) {
	s := serve(t)
	ctx := slow{t.Context(), make(chan struct{})}
	ended := s.follow(ctx, "slow")
	close(ctx.done)
	ended()
	require.Equal(t, []contract.Name{contract.Started, contract.Cancelled}, s.names(t, "slow"))
}

func TestUploadsAreRecorded(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		whole := io.MultiReader(bytes.NewReader(make([]byte, 3000)))
		_, body, err := s.do(t, s.request(t, http.MethodPost, "/upload-cancel?key=clean&ms=0", whole))
		require.NoError(t, err)
		require.JSONEq(t, `{"length":3000}`, string(body))
		require.Contains(t, s.names(t, "clean"), contract.CleanEOF)

		broken, feed := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = feed.Write([]byte("x")); cancel(); _ = feed.CloseWithError(context.Canceled) }()
		_, _, err = s.do(t, s.request(t, http.MethodPost, "/upload-cancel?key=broken&ms=0", broken).WithContext(ctx))
		require.Error(t, err)
		require.Eventually(t, func() bool {
			names := s.names(t, "broken")
			return len(names) == 3 && strings.Contains(fmt.Sprint(names), string(contract.ReadError))
		}, 10*time.Second, time.Millisecond)
		require.NotContains(t, s.names(t, "broken"), contract.CleanEOF)
	})
}

// names reads the file, and checks that memory agrees with it.
func (s *served) names(t *testing.T, key string) []contract.Name {
	events, err := contract.ReadEvents(s.events, key)
	require.NoError(t, err)
	names := []contract.Name{}
	for _, e := range events {
		require.Equal(t, "test-environment", e.Environment)
		names = append(names, e.Name)
	}
	return names
}

func (s *served) waitFor(t *testing.T, key string, want ...contract.Name) {
	require.Eventually(t, func() bool {
		return fmt.Sprint(s.names(t, key)) == fmt.Sprint(want)
	}, 10*time.Second, time.Millisecond, "%s", key)
	var remembered []contract.Event
	s.json(t, "/events?key="+key, &remembered)
	require.Len(t, remembered, len(want))
}

func TestInFlightIsCounted(t *testing.T) {
	each(t, func(t *testing.T, s *served) {
		left := make(chan error, 3)
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			r := s.request(t, http.MethodGet, "/sleep?ms=60000", nil).WithContext(ctx)
			go func() { _, err := s.client.Do(r); left <- err }()
		}
		var got contract.InFlight
		require.Eventually(t, func() bool { s.json(t, "/in-flight", &got); return got.Now == 4 }, 10*time.Second, time.Millisecond)
		cancel()
		for range 3 {
			require.ErrorIs(t, <-left, context.Canceled)
		}
		require.Eventually(t, func() bool { s.json(t, "/in-flight", &got); return got.Now == 1 }, 10*time.Second, time.Millisecond)
		require.EqualValues(t, 4, got.Max)
		highest, err := contract.MaxInFlight(s.events)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"test-environment": 4}, highest)
	})
}
