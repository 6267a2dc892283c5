package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A kind of site is a peer and what it speaks to the app.
type kind struct {
	name string // of the function
	peer controlplanetest.Peer
	env  map[string]string
}

var kinds = []kind{
	{name: "library", peer: controlplanetest.Library},
	{name: "binary", peer: controlplanetest.Binary},
	{name: "binary-h2c", peer: controlplanetest.Binary, env: map[string]string{"LAMBDA_DISPATCH_PEER_PROTOCOL": "h2c"}},
}

// A site is the test app behind one kind of peer, as one client sees it: at the host name.test its paths are the app's
// own, below /name they lose that prefix.
type site struct {
	*controlplanetest.Stack
	name     string
	protocol controlplanetest.Protocol
	client   *http.Client

	t *testing.T
}

// startSites starts a function of each kind, with one instance that stays. tune, which may be nil, has the last word.
func startSites(t *testing.T, tune func(*controlplanetest.Options)) *controlplanetest.Stack {
	t.Helper()
	var o controlplanetest.Options
	for _, k := range kinds {
		f := controlplanetest.App(t, k.name, k.peer)
		f.Routes = append(f.Routes, config.Route{Host: k.name + ".test"})
		f.Scaling.Min = 1 // what one request did to an instance, the next one sees
		maps.Copy(f.Local.Env, k.env)
		o.Functions = append(o.Functions, f)
	}
	if tune != nil {
		tune(&o)
	}
	return controlplanetest.Start(t, o)
}

// eachKind runs a subtest for each kind of site, with an HTTP/1.1 client.
func eachKind(t *testing.T, s *controlplanetest.Stack, test func(t *testing.T, s site)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { test(t, newSite(t, s, k.name, controlplanetest.HTTP1)) })
	}
}

// eachWay runs a subtest for each kind of site and each protocol of the client.
func eachWay(t *testing.T, s *controlplanetest.Stack, test func(t *testing.T, s site)) {
	for _, k := range kinds {
		for _, protocol := range controlplanetest.Protocols {
			t.Run(k.name+"/"+string(protocol), func(t *testing.T) { test(t, newSite(t, s, k.name, protocol)) })
		}
	}
}

func newSite(t *testing.T, s *controlplanetest.Stack, name string, p controlplanetest.Protocol) site {
	return site{Stack: s.In(t), name: name, protocol: p, client: controlplanetest.Client(t, p), t: t}
}

// in returns the same site for a subtest.
func (s site) in(t *testing.T) site {
	s.t, s.Stack = t, s.In(t)
	return s
}

func (s site) host() string { return s.name + ".test" }

// request is one to the site's host. The target is sent as it is written.
func (s site) request(method, target string, body io.Reader) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL("/"), body)
	require.NoError(s.t, err)
	r.URL.Opaque, r.Host = target, s.host()
	return r
}

// An answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

// do fails the test unless the answer is complete.
func (s site) do(r *http.Request) answer {
	s.t.Helper()
	a, err := s.try(r)
	require.NoError(s.t, err)
	return a
}

// try is do for answers that may break off: then there is an error, and the answer if it began.
func (s site) try(r *http.Request) (answer, error) {
	s.t.Helper()
	response, err := s.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or broken
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body)}, err
}

func (s site) get(target string) answer {
	s.t.Helper()
	return s.do(s.request(http.MethodGet, target, nil))
}

// raw sends what no client library would, on a connection of its own, and reads one answer to a GET.
func (s site) raw(text string) answer {
	s.t.Helper()
	conn := s.dial()
	_, err := io.WriteString(conn, text)
	require.NoError(s.t, err)
	return s.readAnswer(bufio.NewReader(conn))
}

// dial connects to the front door until the test ends.
func (s site) dial() net.Conn {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.Front)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(controlplanetest.Patience)))
	return conn
}

func (s site) readAnswer(from *bufio.Reader) answer {
	s.t.Helper()
	response, err := http.ReadResponse(from, nil)
	require.NoError(s.t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return answer{response, string(body)}
}

// inspection is what the app says about a request to its route inspect.
func (a answer) inspection(t *testing.T) contract.Inspection {
	t.Helper()
	require.Equal(t, http.StatusOK, a.StatusCode, a.body)
	var i contract.Inspection
	require.NoError(t, json.Unmarshal([]byte(a.body), &i), a.body)
	return i
}

// process says which process of the app answers now.
func (s site) process() string {
	s.t.Helper()
	a := s.get("/hello")
	require.Equal(s.t, http.StatusOK, a.StatusCode, a.body)
	return a.Header.Get(contract.PidHeader)
}

// eventuallyInFlight waits until the function has so many leases out, and its instances see as many requests.
func (s site) eventuallyInFlight(want int) {
	s.t.Helper()
	s.Eventually(fmt.Sprintf("%d in flight", want), func() error {
		f := s.Function(s.name)
		leases, reported := f.InFlight, 0
		for _, i := range s.Instances(s.name) {
			reported += i.Reported
		}
		if leases != want || reported != want {
			return fmt.Errorf("%d leases, peers report %d, %d foreign, %d wait", leases, reported, f.Foreign, f.QueueDepth)
		}
		return nil
	})
}
