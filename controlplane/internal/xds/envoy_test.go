package xds_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A decider is the smallest control plane: it names one endpoint, after a while for functions called held-….
type decider struct {
	extprocv3.UnimplementedExternalProcessorServer
	endpoint string
	mu       sync.Mutex
	asked    map[string]int // by function
	headers  []string       // of the last request
	times    []string       // that streams said of requests, by which key
}

func (d *decider) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	function := strings.Join(md.Get(extproc.FunctionKey), ",")
	d.note(function, request)
	for _, key := range []string{extproc.BeganKey, extproc.ArrivedKey} {
		for _, at := range md.Get(key) {
			d.noteTime(key, at)
		}
	}
	if strings.HasPrefix(function, "held") {
		select {
		case <-time.After(held):
		case <-stream.Context().Done():
			return nil
		}
	}
	if err := stream.Send(d.reply(function)); err != nil {
		return err
	}
	_, err = stream.Recv() // until the request ends
	return err
}

func (d *decider) noteTime(key, at string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.times = append(d.times, key+" "+at)
}

func (d *decider) note(function string, r *extprocv3.ProcessingRequest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[function]++
	d.headers = nil
	for _, h := range r.GetRequestHeaders().GetHeaders().GetHeaders() {
		d.headers = append(d.headers, h.GetKey())
	}
}

func (d *decider) reply(function string) *extprocv3.ProcessingResponse {
	if function == "full" {
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
			ImmediateResponse: &extprocv3.ImmediateResponse{
				Status: &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
				Headers: &extprocv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{
					{Header: &corev3.HeaderValue{Key: "retry-after", RawValue: []byte("1")}},
					{Header: &corev3.HeaderValue{Key: "content-type", RawValue: []byte("application/problem+json")}},
				}},
				Body:    []byte(`{"cause":"queue_full"}`),
				Details: extproc.DetailsPrefix + "queue_full",
			},
		}}
	}
	endpoint := d.endpoint
	if function == "gone" {
		endpoint += ".gone"
	}
	inner := structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
		extproc.EndpointKey: structpb.NewStringValue(endpoint),
	}})
	return &extprocv3.ProcessingResponse{
		// Envoy routes again after an answer that has a mutation, be it empty: see filter.go.
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{
			Response: &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{}},
		}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{extproc.MetadataNamespace: inner}},
	}
}

// app serves the paths that the tests ask for, below any prefix that is not stripped.
func app(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/full") && r.Header.Get(wire.RefusedHeader) == "": // as a peer that has no slot
		w.Header().Set(wire.RefusedHeader, wire.RefusedBy("go", "i-1"))
		w.Header().Set("Location", "http://"+r.Host+r.RequestURI)
		w.WriteHeader(wire.RefusedStatus)
	case strings.HasSuffix(path, "/silent"): // no answer
		wait(r)
	case strings.HasSuffix(path, "/stalls"): // an answer that does not go on
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		wait(r)
	case strings.HasSuffix(path, "/trickles"): // an answer that goes on for longer than any limit
		for range 15 {
			_, _ = io.WriteString(w, ".")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(limit / 5)
		}
	case strings.HasSuffix(path, "/dies"):
		panic(http.ErrAbortHandler)
	case strings.HasSuffix(path, "/timed"):
		w.Header().Set("Server-Timing", "app;dur=1")
	case strings.HasSuffix(path, "/huge"):
		w.Header().Set("X-Huge", strings.Repeat("x", 200<<10))
	case strings.HasSuffix(path, "/echo"):
		_, _ = io.Copy(w, r.Body)
	case strings.HasPrefix(path, "/answers/"):
		status, _ := strconv.Atoi(strings.TrimPrefix(path, "/answers/"))
		w.Header().Set("Location", "/there")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "the app's")
	case r.Header.Get("Upgrade") != "":
		echoUpgraded(w)
	default:
		_ = json.NewEncoder(w).Encode(seen{Path: r.RequestURI, Proto: r.Proto, Host: r.Host, Header: r.Header})
	}
}

// seen is what the app was sent.
type seen struct {
	Path, Proto, Host string
	Header            http.Header
}

func wait(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(late):
	}
}

func echoUpgraded(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}

// A front is a real Envoy between a client and the app.
type front struct {
	*controlPlane
	*decider
	processor extprocv3.ExternalProcessorServer
	change    func(*config.Config)

	dir     string
	process *envoy.Process
	address string
	behind  string // the address of a listener that trusts one proxy before it
	client  *http.Client
}

func startFront(t *testing.T, functions ...config.Function) *front {
	t.Helper()
	return startFrontWith(t, frontOptions{}, functions...)
}

// frontOptions are what may be other than usual; each may be nil.
type frontOptions struct {
	processor extprocv3.ExternalProcessorServer // the decider
	change    func(*config.Config)
	bootstrap func(dir string) []byte
}

func startFrontWith(t *testing.T, o frontOptions, functions ...config.Function) *front {
	t.Helper()
	binary := envoytest.Binary(t)
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	f := &front{dir: dir, decider: &decider{endpoint: filepath.Join(dir, "app.sock"), asked: make(map[string]int)}}
	f.change, f.processor = func(*config.Config) {}, f.decider
	if o.change != nil {
		f.change = o.change
	}
	if o.processor != nil {
		f.processor = o.processor
	}
	var bootstrap []byte
	if o.bootstrap != nil {
		bootstrap = o.bootstrap(dir)
	}
	serveApp(t, f.endpoint)
	f.serveControl(t, functions)
	f.process, err = envoy.Start(context.Background(), envoy.Options{
		Binary: binary, Bootstrap: bootstrap, StateDir: dir, AdminAddress: "127.0.0.1:0", Concurrency: 1, Log: testWriter{t},
	})
	require.NoError(t, err)
	t.Cleanup(func() { f.process.Stop(patience) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, f.process.Ready(ctx))
	listeners, err := f.process.Listeners(ctx)
	require.NoError(t, err)
	f.address, f.behind = listeners["front"], listeners["behind"]
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	f.client = &http.Client{Transport: transport, Timeout: patience}
	return f
}

func serveApp(t *testing.T, path string) {
	t.Helper()
	socket, err := net.Listen("unix", path)
	require.NoError(t, err)
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: http.HandlerFunc(app), Protocols: protocols, ReadHeaderTimeout: patience,
		ErrorLog: log.New(io.Discard, "", 0), // the end of a connection is no news
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(socket) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
}

// serveControl starts a control plane; a second call, after a crash, another one in its place.
func (f *front) serveControl(t *testing.T, functions []config.Function) {
	t.Helper()
	cfg := testConfig(functions...)
	cfg.StateDir = f.dir
	cfg.Listeners[0].Address, cfg.Listeners[0].HealthPath = "127.0.0.1:0", "/healthz"
	cfg.Listeners = append(cfg.Listeners, config.Listener{Name: "behind", Address: "127.0.0.1:0", TrustedHops: 1})
	f.change(cfg)
	cp := &controlPlane{pool: newPool()}
	for _, function := range functions {
		cp.set(function.Name, upstream.Endpoint{Path: f.endpoint, Health: upstream.Unhealthy, Weight: 1})
	}
	logger := logrus.New()
	logger.SetOutput(testWriter{t})
	var err error
	cp.Server, err = xds.New(cfg, logger)
	require.NoError(t, err)
	socket, err := net.Listen("unix", filepath.Join(f.dir, "control.sock"))
	require.NoError(t, err)
	cp.serve(t, socket, func(g *grpc.Server) {
		extprocv3.RegisterExternalProcessorServer(g, f.processor)
		healthv1.RegisterHealthServer(g, health.NewServer())
	})
	f.controlPlane = cp
}

// testWriter shows what Envoy and the control plane log beside the test's own output.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// get asks for a path and returns the answer with its body read; err is of the body.
func (f *front) get(t *testing.T, path string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.address+path, http.NoBody)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return f.do(t, req)
}

// raw sends a path that need not be one.
func (f *front) raw(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.address, http.NoBody)
	require.NoError(t, err)
	req.URL.Opaque = path
	resp, body, err := f.do(t, req)
	require.NoError(t, err)
	return resp, body
}

func (f *front) do(t *testing.T, req *http.Request) (*http.Response, string, error) {
	t.Helper()
	resp, err := f.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// appSees asks for a path and returns what the app was sent.
func (f *front) appSees(t *testing.T, path string, headers ...string) seen {
	t.Helper()
	resp, body, err := f.get(t, path, headers...)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	var s seen
	require.NoError(t, json.Unmarshal([]byte(body), &s))
	return s
}

func requireProblem(t *testing.T, status int, cause string, resp *http.Response, body string) {
	t.Helper()
	var p struct {
		Status int
		Cause  string
	}
	require.NoError(t, json.Unmarshal([]byte(body), &p), body)
	require.Equal(t, status, resp.StatusCode, body)
	require.Equal(t, status, p.Status, body)
	require.Equal(t, cause, p.Cause, body)
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
}

func TestRequestsThroughEnvoy(t *testing.T) {
	off := testFunction("off", config.Route{Path: "/off"})
	off.Disabled = true
	f := startFront(t, off,
		testFunction("go", config.Route{Path: "/go"}),
		testFunction("deep", config.Route{Path: "/go/deep", StripPrefix: true}),
		testFunction("canary", config.Route{Path: "/go", Header: &config.HeaderMatch{Name: "X-Canary", Value: "1"}}),
		testFunction("host", config.Route{Host: "*.example.com", Path: "/only-here"}),
		testFunction("full", config.Route{Path: "/full"}),
		testFunction("gone", config.Route{Path: "/gone"}),
	)
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	f.eventuallyKnown(t, "go", f.endpoint)

	t.Run("reaches the endpoint that the lease names, though it is unhealthy", func(t *testing.T) {
		got := f.appSees(t, "/go/hello?a=1&a=%5B", "X-Request-Id", "mine")
		require.Equal(t, "/go/hello?a=1&a=%5B", got.Path)
		require.Equal(t, "HTTP/2.0", got.Proto)
		require.Equal(t, "mine", got.Header.Get("X-Request-Id"))
		require.Equal(t, f.address, got.Header.Get("X-Forwarded-Host"))
		require.Equal(t, "http", got.Header.Get("X-Forwarded-Proto"))
		got = f.appSees(t, "/go", "X-Forwarded-Host", "of.the.client")
		require.Equal(t, f.address, got.Header.Get("X-Forwarded-Host"))
		require.NotEmpty(t, got.Header.Get("X-Forwarded-For"))
		require.Equal(t, []string{":path", ":method", "x-request-id"}, f.headers, "what the control plane sees")
	})
	t.Run("names a refused request by the same time when it comes again", func(t *testing.T) {
		f.mu.Lock()
		f.times = nil
		f.mu.Unlock()
		f.appSees(t, "/go/full", "X-Request-Id", "mine")
		f.mu.Lock()
		defer f.mu.Unlock()
		require.Len(t, f.times, 2)
		began, again := strings.Fields(f.times[0]), strings.Fields(f.times[1])
		require.Equal(t, []string{extproc.BeganKey, extproc.ArrivedKey}, []string{began[0], again[0]})
		require.Equal(t, began[1], again[1])
		require.Regexp(t, "^[0-9]{16}$", began[1], "microseconds of Unix time")
	})
	t.Run("keeps what only we may say from the app and from the client", func(t *testing.T) {
		got := f.appSees(t, "/go", "Lambda-Dispatch-Endpoint", "/x", "Lambda-Dispatch-Function", "full",
			"X-Envoy-Upstream-Rq-Timeout-Ms", "1", "X-Envoy-Original-Path", "/x")
		for name := range got.Header {
			require.NotContains(t, strings.ToLower(name), "envoy")
			require.NotContains(t, strings.ToLower(name), "lambda-dispatch")
		}
		resp, _, _ := f.get(t, "/go")
		for name := range resp.Header {
			require.NotContains(t, strings.ToLower(name), "envoy")
		}
		require.NotContains(t, resp.Header, "Server")
	})
	t.Run("routes on borders of segments, the more specific first", func(t *testing.T) {
		for path, want := range map[string]string{
			"/go/": "/go/", "/go//x/../%2F": "/go//x/../%2F", "/go/deep": "/", "/go/deep/x?y": "/x?y",
			"/go/deep//x": "//x", "/go/deeper": "/go/deeper", "/go/deep?q=/go/deep": "/?q=/go/deep",
		} {
			require.Equal(t, want, f.appSees(t, path).Path, path)
		}
		before := f.count("canary")
		f.appSees(t, "/go", "X-Canary", "1")
		require.Equal(t, before+1, f.count("canary"))
	})
	t.Run("answers unknown and disabled paths without asking", func(t *testing.T) {
		before := f.total()
		for path, cause := range map[string]string{
			"/": "no_route", "/gopher": "no_route", "/only-here": "no_route", "/off/x": "disabled",
		} {
			resp, body, _ := f.get(t, path)
			requireProblem(t, http.StatusNotFound, cause, resp, body)
		}
		require.Equal(t, before, f.total())
	})
	t.Run("refuses broken escapes in paths, not in queries", func(t *testing.T) {
		before := f.total()
		for _, path := range []string{"/go/%", "/go/%2", "/go/%zz/x", "/go/%2z", "/%%41", "/go/%25/%/x?y"} {
			resp, body := f.raw(t, path)
			requireProblem(t, http.StatusBadRequest, "request_invalid", resp, body)
		}
		require.Equal(t, before, f.total())
		for _, path := range []string{"/go/%25", "/go/%C3%a4%00", "/go?%", "/go?100%zz"} {
			resp, body := f.raw(t, path)
			require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", path, body)
		}
	})
	t.Run("matches hosts without their port, and falls back to routes of any host", func(t *testing.T) {
		for path, function := range map[string]string{"/only-here": "host", "/go": "go"} {
			before := f.count(function)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.address+path, http.NoBody)
			require.NoError(t, err)
			req.Host = "www.example.com:1234"
			_, body, err := f.do(t, req)
			require.NoError(t, err)
			require.Contains(t, body, `"Host":"www.example.com:1234"`)
			require.Equal(t, before+1, f.count(function))
		}
	})
	t.Run("leaves the control plane's answers alone", func(t *testing.T) {
		resp, body, err := f.get(t, "/full")
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Equal(t, "1", resp.Header.Get("Retry-After"))
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
		require.JSONEq(t, `{"cause":"queue_full"}`, body)
	})
	t.Run("says what went wrong without telling how", func(t *testing.T) {
		for path, want := range map[string]problemCase{
			"/go/dies": {http.StatusBadGateway, "answer_aborted"},
			"/go/huge": {http.StatusBadGateway, "answer_invalid"},
			"/gone":    {http.StatusServiceUnavailable, "no_instance"},
		} {
			resp, body, err := f.get(t, path)
			require.NoError(t, err)
			requireProblem(t, want.status, want.cause, resp, body)
			require.Equal(t, want.status == http.StatusServiceUnavailable, resp.Header.Get("Retry-After") == "1")
		}
		f.appSees(t, "/go")
	})
	t.Run("refuses headers that are too large", func(t *testing.T) {
		resp, body, err := f.get(t, "/go", "X-Large", strings.Repeat("x", 100<<10))
		require.NoError(t, err)
		requireProblem(t, http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", resp, body)
	})
	t.Run("carries upgrades over HTTP/1.1", func(t *testing.T) {
		conn := f.upgrade(t, "/go/ws", "WebSocket")
		_, err := io.WriteString(conn, "ping")
		require.NoError(t, err)
		answer := make([]byte, 4)
		_, err = io.ReadFull(conn, answer)
		require.NoError(t, err)
		require.Equal(t, "ping", string(answer))
	})
	t.Run("carries a large body both ways", func(t *testing.T) {
		body := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.address+"/go/echo", strings.NewReader(body))
		require.NoError(t, err)
		_, got, err := f.do(t, req)
		require.NoError(t, err)
		require.True(t, got == body)
	})
}

type problemCase struct {
	status int
	cause  string
}

func (d *decider) count(function string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[function]
}

func (d *decider) total() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, count := range d.asked {
		n += count
	}
	return n
}

// upgrade opens a connection and upgrades it.
func (f *front) upgrade(t *testing.T, path, protocol string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", path, protocol)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return conn
}

// A held request is offered to the next process, and Envoy takes over the next state, what is gone included. The Envoy may have the
// bootstrap of an older release, which does not ask again by itself.
func TestARestartOfTheControlPlane(t *testing.T) {
	for name, bootstrap := range map[string]func(string) []byte{"bootstrap": nil, "older bootstrap": olderBootstrap} {
		t.Run(name, func(t *testing.T) { aRestartIsSurvived(t, bootstrap) })
	}
}

// olderBootstrap is bootstrap.yaml without what asks again about requests.
func olderBootstrap(dir string) []byte {
	text, err := envoy.Bootstrap(dir, "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	text = regexp.MustCompile(`(?m)^  metadata: .*\n`).ReplaceAll(text, nil)
	return regexp.MustCompile(`(?m)^        retry_policy:\n          retry_on: .*\n          num_retries: .*\n          retry_back_off: .*\n`).ReplaceAll(text, nil)
}

func aRestartIsSurvived(t *testing.T, bootstrap func(dir string) []byte) {
	old, held := testFunction("old", config.Route{Path: "/old"}), testFunction("held", config.Route{Path: "/held"})
	f := startFrontWith(t, frontOptions{bootstrap: bootstrap}, old, held)
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	f.appSees(t, "/old")

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answered := make(chan string, 1)
	go func() {
		outcome, err := f.outcome(ctx, "/held")
		answered <- fmt.Sprint(outcome, err)
	}()
	require.Eventually(t, func() bool { return f.count("held") == 1 }, patience, time.Millisecond)
	f.crash()
	f.serveControl(t, []config.Function{held, testFunction("new", config.Route{Path: "/new"})})
	require.Equal(t, "200<nil>", <-answered)
	require.Equal(t, 2, f.count("held"))
	require.Eventually(t, f.Ready, patience, time.Millisecond)
	f.eventuallyKnown(t, "new", f.endpoint)
	f.appSees(t, "/new")
	resp, body, err := f.get(t, "/old")
	require.NoError(t, err)
	requireProblem(t, http.StatusNotFound, "no_route", resp, body)
	require.Empty(t, f.Stats().Nacks)
}
