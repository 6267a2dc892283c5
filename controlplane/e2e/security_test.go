package e2e_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A fort is a stack in which clients may reach one function, public, at any host and below /public, and nothing else: of
// the others one needs a secret header, one is on another listener, one is switched off, and one is Lambda's only.
func startFort(t *testing.T) *controlplanetest.Stack {
	public := siteApp(t, "public", controlplanetest.Library)
	public.Scaling.Max = 1
	hidden := func(name string, route config.Route) controlplanetest.Function {
		f := controlplanetest.App(t, name, controlplanetest.Library)
		f.Routes = []config.Route{route}
		return f
	}
	secret := hidden("secret", config.Route{Path: "/secret", Header: &config.HeaderMatch{Name: "x-secret", Value: "correct horse"}})
	inner := hidden("inner", config.Route{Listener: "inner", Path: "/inner"})
	off := hidden("off", config.Route{Path: "/off"})
	off.Disabled = true
	return controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{public, secret, inner, off},
		Config: func(c *config.Config) {
			l := config.DefaultListener()
			l.Name, l.Address = "inner", "127.0.0.1:0"
			c.Listeners = append(c.Listeners, l)
		},
	})
}

// money is all that costs some: by function the instances that exist and were started, and Lambda's invocations.
func money(s *controlplanetest.Stack) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"public", "secret", "inner", "off"} {
		f, c := s.Function(name), s.Lambda.Counters(name)
		out[name] = fmt.Sprintf("%d starts, %d instances, %d draining, %d invocations, %d environments",
			f.Starts, len(s.Instances(name)), f.Draining, c.Started+c.Faults+c.Throttled, c.Cold)
	}
	return out
}

// Scenario 36: what clients try, by path, host and header, reaches the public function as an ordinary request or nobody.
func TestClientsReachOnlyWhatIsRouted(t *testing.T) {
	t.Parallel()
	stack := startFort(t)
	s := newSite(t, stack, "public", controlplanetest.HTTP1)
	eventuallyWarm(s)
	process := s.process()
	before := money(stack)
	tries, statuses := 0, map[int]int{}
	for _, target := range forgedTargets(s) {
		for _, extra := range forgedHeaders(s) {
			tries++
			a := s.tryRaw("GET", target, extra)
			statuses[a.StatusCode]++
			s.requireOrdinary(a, process, target+" with "+extra)
		}
		for _, method := range []string{"POST", "CONNECT", "OPTIONS", "PRI", "INVOKE"} {
			tries++
			s.requireOrdinary(s.tryRaw(method, target, "Content-Length: 0\r\n"), process, method+" "+target)
		}
	}
	t.Logf("%d tries, statuses %v", tries, statuses)
	require.GreaterOrEqual(t, tries, 1000)
	tryOverHTTP2(newSite(t, stack, "public", controlplanetest.HTTP2), process)
	s.eventuallyIdle()
	require.Equal(t, before, money(stack))
	refused, _ := scrapeMetrics(t, stack)
	for series, n := range refused {
		if strings.HasPrefix(series, "lambda_dispatch_relay_refused_total") {
			require.Zero(t, n, "%s: a client reached the relay", series)
		}
	}
}

// forgedTargets are request targets, most of which lead nowhere.
func forgedTargets(s site) []string {
	id, endpoint := s.Instances("public")[0].ID, s.Instances("public")[0].Endpoint
	targets := []string{
		"/public/inspect", "/", "*", "/secret/inspect", "/inner/inspect", "/off/inspect", "/lambda-only",
		"/public/../secret/inspect", "/public/..%2fsecret/inspect", "/%73ecret/inspect", "//secret/inspect",
		"/secret%2finspect", "/public/../inner/inspect", "/public;/../off",
		wire.TunnelPath, wire.ControlPath, wire.RegisterPath, "/public" + wire.ControlPath,
		"/healthz", "/readyz", "/metrics", "/api/v1/functions", "/api/v1/instances/" + id + "/drain",
		"/api/v1/functions/public/drain", "/quitquitquit", "/clusters", "/config_dump",
		"/2015-03-31/functions/secret/invocations", "/" + endpoint,
	}
	for _, authority := range []string{s.Admin, s.Relay, s.Lambda.Addr(), "169.254.169.254", "secret", "public.test"} {
		targets = append(targets, "http://"+authority+"/api/v1/functions/public/drain", authority)
	}
	return targets
}

// forgedHeaders are whole header lines.
func forgedHeaders(s site) []string {
	socket := s.Config.StateDir + "/e/secret-0000.sock"
	values := map[string][]string{
		"": {
			"upgrade: " + wire.Protocol + "\r\nconnection: upgrade", "upgrade: websocket\r\nconnection: upgrade",
			"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__", "expect: 100-continue",
		},
		"secret": {
			"lambda-dispatch-function", "lambda-dispatch-cluster", "x-lambda-dispatch-function", "x-envoy-decorator-operation",
			"x-envoy-original-dst-host", "x-forwarded-host", "x-amz-function-name", "grpc-metadata-function", ":authority-x", "x-host",
		},
		socket: {
			"lambda-dispatch-endpoint", "x-lambda-dispatch-endpoint", "x-gateway-destination-endpoint",
			"envoy.lb.subset", "x-envoy-upstream-host", "endpoint",
		},
		"1": {
			strings.ToLower(wire.RefusedHeader), "x-lambda-dispatch-refused", "x-envoy-force-trace", "x-envoy-max-retries",
			"x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-hedge-on-per-try-timeout",
			"x-envoy-internal", "x-envoy-expected-rq-timeout-ms",
		},
		"/secret/inspect": {"x-envoy-original-path", "x-original-url", "x-rewrite-url", "x-forwarded-prefix"},
		"connect-failure": {"x-envoy-retry-on", "x-envoy-retry-grpc-on"},
	}
	var out []string
	for value, names := range values {
		for _, name := range names {
			if value == "" {
				out = append(out, name+"\r\n")
				continue
			}
			out = append(out, name+": "+value+"\r\n")
		}
	}
	return append(out, "")
}

// tryRaw sends one request as it is written, without a host that would choose a route.
func (s site) tryRaw(method, target, headers string) answer {
	s.t.Helper()
	conn := s.dial()
	defer func() { _ = conn.Close() }()
	_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: other.test\r\n%s\r\n", method, target, headers)
	require.NoError(s.t, err)
	in := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(in, &http.Request{Method: method})
		require.NoError(s.t, err, "%s %s %s", method, target, headers)
		if response.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(response.Body)
		require.NoError(s.t, err)
		return answer{response, string(body)}
	}
}

// requireOrdinary fails the test unless the answer is the public function's, which saw nothing that it could take for ours,
// or a refusal.
func (s site) requireOrdinary(a answer, process, what string) {
	s.t.Helper()
	if a.Header.Get(contract.PidHeader) == "" {
		require.Contains(s.t, []int{204, 400, 404, 421, 501}, a.StatusCode, "%s: %s", what, a.body)
		return
	}
	require.Equal(s.t, process, a.Header.Get(contract.PidHeader), "%s: %s", what, a.body)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
		return
	}
	for name := range a.inspection(s.t).Header {
		lower := strings.ToLower(name)
		require.False(s.t, strings.HasPrefix(lower, "lambda-dispatch-") || strings.HasPrefix(lower, "x-envoy-"), "%s: %s", what, name)
	}
}

// tryOverHTTP2 does the same with what a library can send.
func tryOverHTTP2(s site, process string) {
	for _, target := range forgedTargets(s) {
		if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
			continue
		}
		r := s.request(http.MethodGet, target, nil)
		r.Host = "other.test"
		for _, line := range forgedHeaders(s) {
			name, value, found := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
			if found && !strings.HasPrefix(name, ":") && name != "upgrade" && name != "expect" {
				r.Header.Set(name, value)
			}
		}
		s.requireOrdinary(s.do(r), process, "HTTP/2 "+target)
	}
}

// Scenario 35: at the relay's door, with tokens that are no good there.
func TestTokensThatAreRefused(t *testing.T) {
	mine, other := newStatic(t, "mine"), newStatic(t, "other")
	mine.Scaling.DrainTimeout, other.Scaling.DrainTimeout = time.Second, time.Second // nobody dials
	s := controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{mine.Function, other.Function}, Config: withCertificate(t),
	})
	door := relayDoor{t: t, stack: s}
	valid := door.register("mine", mine.token, "a")
	ended := door.register("mine", mine.token, "b")
	status, _ := s.AdminPost("/api/v1/instances/" + ended.Instance + "/drain")
	require.Equal(t, http.StatusAccepted, status)
	s.Eventually("ended", func() error {
		if n := len(s.Instances("mine")); n != 1 {
			return fmt.Errorf("%d instances", n)
		}
		return nil
	})
	tries := []struct{ token, reason string }{
		{"", "token_missing"},
		{"nonsense", "token_malformed"},
		{mine.token, "token_malformed"},
		{flipped(valid.Token, len(valid.Token)/4), "token_forged"},
		{flipped(valid.Token, len(valid.Token)-3), "token_forged"},
		{ended.Token, "unknown_instance"},
	}
	before, instances := door.refusals(), s.Instances("mine")
	for _, try := range tries {
		for _, path := range []string{wire.TunnelPath, wire.ControlPath} {
			code, _ := door.upgrade(path, try.token)
			require.Equal(t, http.StatusUnauthorized, code, "%s: %s", try.reason, try.token)
		}
	}
	for _, wrong := range [][2]string{{"mine", other.token}, {"other", mine.token}, {"mine", valid.Token}, {"nobody", mine.token}, {"mine", "x"}} {
		code, _ := door.post(wrong[0], wrong[1], "c")
		require.Equal(t, http.StatusUnauthorized, code, "%v", wrong)
	}
	want := maps.Clone(before)
	for _, try := range tries {
		want[try.reason] += 2
	}
	want["register_refused"] += 5
	require.Equal(t, want, door.refusals(), "counted by reason")
	require.Len(t, s.Instances("mine"), len(instances))
	require.Empty(t, s.Instances("other"))
	code, _ := door.upgrade(wire.ControlPath, valid.Token)
	require.Equal(t, http.StatusSwitchingProtocols, code, "a good token is good still")
}

// flipped changes one character.
func flipped(text string, at int) string {
	other := "A"
	if text[at] == 'A' {
		other = "B"
	}
	return text[:at] + other + text[at+1:]
}

// A relayDoor is the relay's port, as anybody could dial it.
type relayDoor struct {
	t     *testing.T
	stack *controlplanetest.Stack
}

func (d relayDoor) refusals() map[string]int {
	d.t.Helper()
	metrics, _ := scrapeMetrics(d.t, d.stack)
	out := map[string]int{}
	for series, n := range metrics {
		if reason, ours := strings.CutPrefix(series, `lambda_dispatch_relay_refused_total{reason="`); ours {
			out[strings.TrimSuffix(reason, `"}`)] = int(n)
		}
	}
	return out
}

func (d relayDoor) send(request string) (status int, body string) {
	d.t.Helper()
	conn, err := tls.Dial("tcp", d.stack.Relay, &tls.Config{InsecureSkipVerify: true}) // any client could
	require.NoError(d.t, err)
	d.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(d.t, conn.SetDeadline(time.Now().Add(controlplanetest.Patience)))
	_, err = io.WriteString(conn, request)
	require.NoError(d.t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(d.t, err)
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response.StatusCode, ""
	}
	defer func() { _ = conn.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(d.t, err)
	return response.StatusCode, string(text)
}

func (d relayDoor) upgrade(path, token string) (int, string) {
	d.t.Helper()
	authorization := ""
	if token != "" {
		authorization = "Authorization: Bearer " + token + "\r\n"
	}
	return d.send("GET " + path + " HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: " + wire.Protocol + "\r\n" + authorization + "\r\n")
}

func (d relayDoor) post(function, token, environment string) (int, string) {
	d.t.Helper()
	body := fmt.Sprintf(`{"lambda_dispatch":%d,"function":%q,"environment":%q}`, wire.Version, function, environment)
	return d.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		wire.RegisterPath, token, len(body), body))
}

// register becomes an instance of the function.
func (d relayDoor) register(function, token, environment string) wire.Invocation {
	d.t.Helper()
	status, body := d.post(function, token, environment)
	require.Equal(d.t, http.StatusOK, status, body)
	invocation, err := wire.DecodeInvocation([]byte(body))
	require.NoError(d.t, err)
	require.True(d.t, x509.NewCertPool().AppendCertsFromPEM([]byte(invocation.Relays[0].CA)))
	return invocation
}
