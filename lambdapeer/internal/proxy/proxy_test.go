package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/proxy"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const patience = 10 * time.Second

// through returns the relay of an instance whose app is at address.
func through(t testing.TB, address string, h2c bool) *relaytest.Relay {
	relay := relaytest.Start(t)
	log := slog.New(slog.DiscardHandler)
	p := proxy.New(address, h2c, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.CloseIdle()
		inv := relaytest.Invocation(100, relay)
		inv.DrainLimit = wire.Millis(50 * time.Millisecond)
		instance.Serve(ctx, instance.Config{Invocation: inv, Environment: "e", Handler: p, Logger: log})
	}()
	t.Cleanup(func() { cancel(); <-done })
	relay.Welcome(t)
	return relay
}

func app(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// each runs f for both protocols on the tunnel.
func each(t *testing.T, f func(t *testing.T, http2 bool)) {
	for _, http2 := range []bool{true, false} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) { f(t, http2) })
	}
}

// Scenario 12.
func TestTargetIsExact(t *testing.T) {
	seen := make(chan string, 1)
	relay := through(t, app(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.RequestURI }), false)
	for _, target := range []string{
		"/", "//", "//a//b", "/a%2Fb", "/a/../b/./c", "/?", "/?a=1&a=2&b", "/?x[]=1&y={}|^", "/a;b?c;d=1", "/%zz?%zz", "/a|b\"c<d>", "/é?é",
		"/" + strings.Repeat("x", 8<<10),
	} {
		conn, err := relay.Tunnel(t.Context())
		require.NoError(t, err)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n", target)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		conn.Close()
		if res.StatusCode == http.StatusBadRequest {
			require.Contains(t, target, "%zz")
			continue
		}
		require.Equal(t, 200, res.StatusCode, target)
		require.Equal(t, target, <-seen)
	}
}

// Scenarios 13 and 17.
func TestHeadersPassUnchanged(t *testing.T) {
	each(t, func(t *testing.T, http2 bool) {
		relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
			for name, values := range r.Header {
				w.Header()["Got-"+name] = values
			}
			w.Header().Set("Got-Host", r.Host)
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.Header().Set(wire.RefusedHeader, "1")
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, "<html>")
		}), false)
		req, _ := http.NewRequest(http.MethodGet, "http://front.example/", nil)
		sent := http.Header{
			"X-Forwarded-For": {"1.2.3.4, 5.6.7.8"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"a.example"},
			"Forwarded": {"for=1.2.3.4"}, "X-Empty": {""}, "X-Utf8": {"grüße"}, "X-Many": {"1", "2"},
			"X-Long": {strings.Repeat("x", 60<<10)}, "User-Agent": {"test"},
		}
		req.Header = sent.Clone()
		res, err := relay.Client(t, http2).Do(req)
		require.NoError(t, err)
		res.Body.Close()
		got := http.Header{}
		for name, values := range res.Header {
			if name, ok := strings.CutPrefix(name, "Got-"); ok {
				got[name] = values
			}
		}
		require.Equal(t, "front.example", got.Get("Host"))
		got.Del("Host")
		require.Equal(t, sent, got)
		require.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
		require.Empty(t, res.Header.Values(wire.RefusedHeader))
		require.Empty(t, res.Header.Values("Date"), "nothing is added")
		require.Empty(t, res.Header.Values("Content-Type"), "nothing is guessed")
	})
}

// Scenario 9.
func TestBodiesAreExactBothWays(t *testing.T) {
	echo := app(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	for _, h2c := range []bool{false, true} {
		each(t, func(t *testing.T, http2 bool) {
			client := through(t, echo, h2c).Client(t, http2)
			for _, size := range []int{0, 1, 64 << 10, 4_000_000} {
				body := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
				for _, length := range []int64{int64(size), -1} {
					req, _ := http.NewRequest(http.MethodPost, "http://app/", io.NopCloser(bytes.NewReader(body)))
					req.ContentLength = length
					res, err := client.Do(req)
					require.NoError(t, err)
					sum := sha256.New()
					n, err := io.Copy(sum, res.Body)
					require.NoError(t, err)
					res.Body.Close()
					require.EqualValues(t, size, n)
					want := sha256.Sum256(body)
					require.Equal(t, want[:], sum.Sum(nil))
				}
			}
		})
	}
}

// Scenarios 10 and 11: what the app has flushed arrives while the request goes on.
func TestFullDuplex(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			_ = control.EnableFullDuplex()
			lines := bufio.NewScanner(r.Body)
			_ = control.Flush()
			for lines.Scan() {
				fmt.Fprintf(w, "got %s\n", lines.Text())
				_ = control.Flush()
			}
		}), h2c)
		up, send := io.Pipe()
		req, _ := http.NewRequest(http.MethodPost, "http://app/", up)
		res, err := relay.Client(t, true).Do(req)
		require.NoError(t, err)
		answers := bufio.NewReader(res.Body)
		for n := range 3 {
			fmt.Fprintf(send, "line %d\n", n)
			line, err := answers.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("got line %d\n", n), line)
		}
		send.Close()
		_, err = answers.ReadString('\n')
		require.ErrorIs(t, err, io.EOF)
		res.Body.Close()
	}
}

// Scenario 18.
func TestEarlyAnswerReachesTheClient(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() { // reads the header only, answers and closes
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReaderSize(conn, 16))
			io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
			conn.Close()
		}
	}()
	client := through(t, listener.Addr().String(), false).Client(t, true)
	for range 20 {
		res, err := client.Post("http://app/", "", io.LimitReader(endless{}, 8<<20))
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode, string(body))
		require.Equal(t, "big", string(body))
	}
}

// Scenario 18: a client need not send the rest before it gets the end of the answer.
func TestEarlyAnswerEndsWhileTheUploadRests(t *testing.T) {
	for _, h2c := range []bool{true, false} {
		t.Run(fmt.Sprintf("h2c=%v", h2c), func(t *testing.T) {
			client := through(t, app(t, func(w http.ResponseWriter, _ *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex() // else the app itself waits, over HTTP/1.1
				http.Error(w, "big", http.StatusRequestEntityTooLarge)
			}), h2c).Client(t, true)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			body, send := io.Pipe()
			defer send.Close()
			go io.WriteString(send, "begun")
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://app/", body)
			require.NoError(t, err)
			res, err := client.Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "big\n", string(text))
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Scenario 19.
func TestAppThatDiesMidAnswerAbortsIt(t *testing.T) {
	relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "1000")
		}
		io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}), false)
	each(t, func(t *testing.T, http2 bool) {
		for _, path := range []string{"/length", "/chunked"} {
			res, err := relay.Client(t, http2).Get("http://app" + path)
			require.NoError(t, err)
			_, err = io.ReadAll(res.Body)
			require.Error(t, err, path)
			res.Body.Close()
		}
	})
}

func TestAppThatDoesNotAnswerIsAProblemOfOurs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener.Close()
	dies := app(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	each(t, func(t *testing.T, http2 bool) {
		for what, address := range map[string]string{"is away": listener.Addr().String(), "dies": dies} {
			for _, h2c := range []bool{false, true} {
				res, err := through(t, address, h2c).Client(t, http2).Get("http://app/")
				require.NoError(t, err)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				res.Body.Close()
				require.Equal(t, http.StatusBadGateway, res.StatusCode, what)
				require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), what)
				require.JSONEq(t, `{"type": "about:blank", "title": "The app did not answer", "status": 502, "cause": "no_answer"}`,
					string(body), what)
			}
		}
	})
}

// Scenario 21.
func TestClientThatLeavesCancels(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		each(t, func(t *testing.T, http2 bool) {
			entered, left := make(chan struct{}), make(chan error, 1)
			relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				_, err := io.Copy(io.Discard, r.Body)
				if err == nil {
					<-r.Context().Done()
					err = r.Context().Err()
				}
				left <- err
			}), h2c)
			ctx, cancel := context.WithCancel(t.Context())
			up, send := io.Pipe() // an upload that never ends
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://app/", up)
			failed := make(chan error, 1)
			go func() {
				_, err := relay.Client(t, http2).Do(req)
				failed <- err
			}()
			<-entered
			cancel()
			send.CloseWithError(context.Canceled) // http.Transport waits for it on HTTP/1.1
			require.Error(t, <-failed)
			select {
			case err := <-left:
				require.Error(t, err, "an upload that was cut never ends cleanly")
			case <-time.After(patience):
				require.FailNow(t, "the app does not notice")
			}
		})
	}
}

// Scenario 14.
func TestInformationalAnswersAndTrailers(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		each(t, func(t *testing.T, http2 bool) {
			relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</a>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Got-Trailer", r.Trailer.Get("Sum"))
				io.WriteString(w, "body")
				_ = http.NewResponseController(w).Flush() // else its length is known, and there is no place for trailers
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			}), h2c)
			hints := make(chan int, 4)
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					hints <- code
					return nil
				},
			})
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://app/", io.NopCloser(strings.NewReader("up")))
			req.Trailer = http.Header{"Sum": {"42"}}
			res, err := relay.Client(t, http2).Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, "body", string(body))
			require.Equal(t, "42", res.Header.Get("Got-Trailer"))
			require.Equal(t, http.Header{"Grpc-Status": {"0"}}, res.Trailer)
			require.Equal(t, http.StatusEarlyHints, <-hints)
		})
	}
}

// Scenario 14: answers that have no body, and those of a part.
func TestAnswersWithoutABody(t *testing.T) {
	relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", "12345")
			return
		}
		w.WriteHeader(map[string]int{"/204": 204, "/304": 304}[r.URL.Path])
	}), false)
	each(t, func(t *testing.T, http2 bool) {
		client := relay.Client(t, http2)
		for path, status := range map[string]int{"/204": 204, "/304": 304} {
			res, err := client.Get("http://app" + path)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, status, res.StatusCode)
		}
		res, err := client.Head("http://app/")
		require.NoError(t, err)
		res.Body.Close()
		require.EqualValues(t, 12345, res.ContentLength)
	})
}

// Scenario 15: an upgrade arrives as HTTP/1.1 and holds its slot until it is closed.
func TestUpgrade(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: 1\r\n\r\n",
				r.Header.Get("Upgrade"), wire.RefusedHeader)
			_, _ = io.Copy(conn, buffered)
		}), h2c)
		conn, err := relay.Tunnel(t.Context())
		require.NoError(t, err)
		fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
		require.Empty(t, res.Header.Get(wire.RefusedHeader))
		message := bytes.Repeat([]byte("x"), 1<<20)
		go func() { _, _ = conn.Write(message) }()
		echoed := make([]byte, len(message))
		_, err = io.ReadFull(in, echoed)
		require.NoError(t, err)
		require.Equal(t, message, echoed)
		conn.Close()
	}
}

// Scenario 24: what a client does not read stays with the app.
func TestSlowReaderCostsBoundedMemory(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		var written atomic.Int64
		relay := through(t, app(t, func(w http.ResponseWriter, r *http.Request) {
			chunk := make([]byte, 64<<10)
			for r.Context().Err() == nil {
				n, err := w.Write(chunk)
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		}), h2c)
		res, err := relay.Client(t, true).Get("http://app/")
		require.NoError(t, err)
		var last int64
		require.Eventually(t, func() bool { // until the app is held up
			before := last
			last = written.Load()
			return last > 0 && last == before
		}, patience, 100*time.Millisecond)
		require.Less(t, last, int64(64<<20)) // Go's client takes 4 MiB, sockets a few more each
		res.Body.Close()
	}
}

func TestHugeAnswerHeaderIs502(t *testing.T) {
	relay := through(t, app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 2<<20))
	}), false)
	res, err := relay.Client(t, true).Get("http://app/")
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusBadGateway, res.StatusCode)
}

func TestGetTellsTheStatus(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		p := proxy.New(app(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }), h2c, slog.New(slog.DiscardHandler))
		status, err := p.Get(t.Context(), "/up")
		require.NoError(t, err)
		require.Equal(t, 418, status)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = p.Get(ctx, "/up")
		require.True(t, errors.Is(err, context.Canceled))
		p.CloseIdle()
	}
}

// BenchmarkRequest compares an app asked over plain HTTP/2 with the same through a tunnel, to a handler of the library's
// and to an app behind the binary's proxy.
func BenchmarkRequest(b *testing.B) {
	hello := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 128)) }
	address := app(b, hello)
	plain := &http.Transport{Protocols: new(http.Protocols)}
	plain.Protocols.SetUnencryptedHTTP2(true)
	b.Cleanup(plain.CloseIdleConnections)
	for _, bm := range []struct {
		name   string
		client *http.Client
		url    string
	}{
		{"plain h2c", &http.Client{Transport: plain}, "http://" + address},
		{"tunnel and proxy to HTTP/1.1", through(b, address, false).Client(b, true), "http://app"},
		{"tunnel and proxy to h2c", through(b, address, true).Client(b, true), "http://app"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := bm.client.Get(bm.url)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
