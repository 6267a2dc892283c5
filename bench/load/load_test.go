package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that speaks HTTP/1.1 and HTTP/2 without TLS, and returns its URL.
func serve(t testing.TB, handler http.HandlerFunc) string {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// each runs a test once per protocol, with four requests in flight.
func each(t *testing.T, test func(t *testing.T, opts Options)) {
	t.Run("http1", func(t *testing.T) { test(t, Options{Connections: 4}) })
	t.Run("http2", func(t *testing.T) { test(t, Options{HTTP2: true, Connections: 2, Streams: 2}) })
}

func run(t testing.TB, opts Options) Result {
	result, err := Run(t.Context(), opts)
	require.NoError(t, err)
	return result
}

func TestCountBoundsTheRun(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		var served atomic.Int64
		opts.URL = serve(t, func(w http.ResponseWriter, _ *http.Request) {
			served.Add(1)
			_, _ = io.WriteString(w, "0123456789")
		})
		opts.Requests = 1000
		result := run(t, opts)

		require.EqualValues(t, 1000, result.Requests)
		require.EqualValues(t, 1000, served.Load())
		require.EqualValues(t, 10_000, result.BodyBytes)
		require.Equal(t, map[int]int64{200: 1000}, result.Statuses)
		require.Zero(t, result.Errors())
		require.Positive(t, result.Rate)
		require.Positive(t, result.Latency.P50)
		require.LessOrEqual(t, result.Latency.P50, result.Latency.P99)
		require.LessOrEqual(t, result.Latency.P99, result.Latency.Max)
	})
}

func TestDurationBoundsTheRunAndWaitsForAnswers(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		opts.URL = serve(t, func(http.ResponseWriter, *http.Request) {})
		opts.Duration = 20 * time.Millisecond
		result := run(t, opts)

		require.GreaterOrEqual(t, result.Elapsed, opts.Duration)
		require.Positive(t, result.Requests)
		require.Zero(t, result.Errors())
	})
}

func TestConcurrencyIsWhatWasAsked(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		var inFlight, highest atomic.Int64
		full := make(chan struct{})
		opts.URL = serve(t, func(http.ResponseWriter, *http.Request) {
			n := inFlight.Add(1)
			defer inFlight.Add(-1)
			for seen := highest.Load(); n > seen && !highest.CompareAndSwap(seen, n); seen = highest.Load() {
			}
			if n == 4 && highest.Load() == 4 {
				select {
				case <-full:
				default:
					close(full)
				}
			}
			<-full
		})
		opts.Requests = 64
		result := run(t, opts)
		require.EqualValues(t, 64, result.Requests)
		require.EqualValues(t, 4, highest.Load())
	})
}

func TestStatusesAreCounted(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		var n atomic.Int64
		opts.URL = serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1)%4 == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		opts.Requests = 100
		result := run(t, opts)
		require.Equal(t, map[int]int64{200: 75, 503: 25}, result.Statuses)
		require.EqualValues(t, 25, result.Errors())
		require.Zero(t, result.Failed)
	})
}

func TestAbortedAnswersAreFailures(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		var n atomic.Int64
		opts.URL = serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1)%10 == 0 {
				_, _ = io.WriteString(w, "half")
				panic(http.ErrAbortHandler)
			}
		})
		opts.Requests = 100
		result := run(t, opts)
		require.EqualValues(t, 10, result.Failed, "%v", result.Failures)
		require.EqualValues(t, 90, result.Requests)
	})
}

func TestAnswersOfEveryShape(t *testing.T) {
	const size = 100_000
	shapes := map[string]http.HandlerFunc{
		"content-length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, size))
		},
		"streamed": func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				_, _ = w.Write(make([]byte, size/10))
				_ = http.NewResponseController(w).Flush()
			}
		},
		"trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Sum")
			_, _ = w.Write(make([]byte, size))
			w.Header().Set("Sum", "1")
		},
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = w.Write(make([]byte, size))
		},
		"close": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = w.Write(make([]byte, size))
		},
	}
	for name, handler := range shapes {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, opts Options) {
				opts.URL = serve(t, handler)
				opts.Requests = 20
				result := run(t, opts)
				require.Equal(t, map[int]int64{200: 20}, result.Statuses, "%v", result.Failures)
				require.EqualValues(t, 20*size, result.BodyBytes)
			})
		})
	}
}

func TestAnswersWithoutABody(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		opts.URL = serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		opts.Requests = 20
		require.Equal(t, map[int]int64{204: 20}, run(t, opts).Statuses)
	})
	each(t, func(t *testing.T, opts Options) {
		opts.URL = serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5") })
		opts.Method, opts.Requests = http.MethodHead, 20
		require.Equal(t, map[int]int64{200: 20}, run(t, opts).Statuses)
	})
}

func TestRequestArrivesAsWritten(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		seen := make(chan *http.Request, 1)
		opts.URL = serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r }) + "/a//b%2Fc?x=1&x=[2]"
		opts.Header = http.Header{"X-Test": {"one", "two"}}
		opts.Method, opts.Requests = http.MethodPut, 1
		run(t, opts)
		got := <-seen
		require.Equal(t, "/a//b%2Fc?x=1&x=[2]", got.RequestURI)
		require.Equal(t, []string{"one", "two"}, got.Header["X-Test"])
		require.Equal(t, http.MethodPut, got.Method)
	})
}

func TestBodyIsSent(t *testing.T) {
	var bodies atomic.Int64
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && string(body) == "hello" {
			bodies.Add(1)
		}
	})
	run(t, Options{URL: url, Method: http.MethodPost, Body: []byte("hello"), Requests: 10})
	require.EqualValues(t, 10, bodies.Load())
}

func TestSilentServerTimesOut(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		release := make(chan struct{})
		opts.URL = serve(t, func(http.ResponseWriter, *http.Request) { <-release })
		t.Cleanup(func() { close(release) })
		opts.Requests, opts.Timeout = 4, time.Second
		result := run(t, opts)
		require.Equal(t, map[string]int64{"timeout": 4}, result.Failures)
	})
}

func TestCancelEndsTheRun(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		opts.URL = serve(t, func(http.ResponseWriter, *http.Request) { cancel(); <-release })
		t.Cleanup(func() { close(release) })
		opts.Requests = 100
		_, err := Run(ctx, opts)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestServerThatGoesAwayIsCountedNotSpunOn(t *testing.T) {
	each(t, func(t *testing.T, opts Options) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			for range opts.Connections {
				if conn, err := listener.Accept(); err == nil {
					defer func() { _ = conn.Close() }()
				}
			}
			_ = listener.Close()
		}()
		opts.URL, opts.Requests = "http://"+listener.Addr().String(), 20
		result := run(t, opts)
		<-closed
		require.EqualValues(t, 20, result.Failed, "%v", result.Failures)
		require.Positive(t, result.Failures["dial"])
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for want, opts := range map[string]Options{
		"url: must be http://host":                {URL: "https://localhost/", Requests: 1},
		"requests, duration: one of them must":    {URL: "http://localhost/"},
		"body: only HTTP/1.1":                     {URL: "http://localhost/", Requests: 1, HTTP2: true, Body: []byte("x")},
		"streams: HTTP/1.1 has one":               {URL: "http://localhost/", Requests: 1, Streams: 2},
		"connection 1 of 3: dial tcp 127.0.0.1:1": {URL: "http://127.0.0.1:1/", Requests: 1, Connections: 3},
	} {
		_, err := Run(t.Context(), opts)
		require.ErrorContains(t, err, want)
	}
}

func FuzzReadHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Add("HTTP/1.0 204 No Content\r\n\r\n")
	f.Fuzz(func(t *testing.T, wire string) {
		r := bufio.NewReader(strings.NewReader(wire))
		a, err := readHead(r)
		if err != nil {
			var protocol *protocolError
			require.True(t, errors.As(err, &protocol) || errors.Is(err, io.EOF), "%v", err)
			return
		}
		require.GreaterOrEqual(t, a.status, 100)
		n, _ := a.discardBody(r, http.MethodGet)
		require.LessOrEqual(t, n, int64(len(wire)))
	})
}

func BenchmarkRun(b *testing.B) {
	body := make([]byte, 128)
	url := serve(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	bench := func(opts Options) func(b *testing.B) {
		return func(b *testing.B) {
			opts.URL, opts.Requests = url, int64(b.N)
			b.ReportAllocs()
			require.Zero(b, run(b, opts).Errors())
		}
	}
	b.Run("http1", bench(Options{Connections: 50}))
	b.Run("http2", bench(Options{HTTP2: true, Connections: 5, Streams: 10}))
}
