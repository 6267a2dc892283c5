package e2e_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A site is the test app behind one kind of peer, as one client sees it: at the host name.test its paths are the app's
// own, below /name they lose that prefix.
type site struct {
	*controlplanetest.Stack
	name   string
	client *http.Client

	t *testing.T
}

// startSites starts one function for each kind of peer, named like it. tune may be nil.
func startSites(t *testing.T, tune func(*controlplanetest.Function)) *controlplanetest.Stack {
	t.Helper()
	var o controlplanetest.Options
	for _, peer := range controlplanetest.Peers {
		f := controlplanetest.App(t, string(peer), peer)
		f.Routes = append(f.Routes, config.Route{Host: f.Name + ".test"})
		f.Scaling.Min = 1 // what one request did to an instance, the next one sees
		if tune != nil {
			tune(&f)
		}
		o.Functions = append(o.Functions, f)
	}
	return controlplanetest.Start(t, o)
}

// eachPeer runs a subtest for each kind of peer, with an HTTP/1.1 client.
func eachPeer(t *testing.T, s *controlplanetest.Stack, test func(t *testing.T, s site)) {
	for _, peer := range controlplanetest.Peers {
		t.Run(string(peer), func(t *testing.T) { test(t, newSite(t, s, peer, controlplanetest.HTTP1)) })
	}
}

// eachWay runs a subtest for each kind of peer and each protocol of the client.
func eachWay(t *testing.T, s *controlplanetest.Stack, test func(t *testing.T, s site)) {
	for _, peer := range controlplanetest.Peers {
		for _, protocol := range controlplanetest.Protocols {
			t.Run(string(peer)+"/"+string(protocol), func(t *testing.T) { test(t, newSite(t, s, peer, protocol)) })
		}
	}
}

func newSite(t *testing.T, s *controlplanetest.Stack, peer controlplanetest.Peer, p controlplanetest.Protocol) site {
	return site{Stack: s.In(t), name: string(peer), client: controlplanetest.Client(t, p), t: t}
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

// process says which process of the app answers now.
func (s site) process() string {
	s.t.Helper()
	a := s.get("/hello")
	require.Equal(s.t, http.StatusOK, a.StatusCode, a.body)
	return a.Header.Get(contract.PidHeader)
}
