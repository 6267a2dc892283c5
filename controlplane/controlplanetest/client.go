package controlplanetest

import (
	"net/http"
	"testing"
)

// A Protocol is what a client speaks to Envoy. There is no TLS.
type Protocol string

// Protocols.
const (
	HTTP1 Protocol = "http1"
	HTTP2 Protocol = "http2" // with prior knowledge
)

// Protocols lists both.
var Protocols = []Protocol{HTTP1, HTTP2}

// Client returns a client of its own connections that asks for exactly what its requests say: no compression, no
// redirects. It has no timeout.
func Client(t testing.TB, p Protocol) *http.Client {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1000, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(p == HTTP1)
	transport.Protocols.SetUnencryptedHTTP2(p == HTTP2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// In returns the same stack for a subtest: what fails through it, fails there.
func (s *Stack) In(t testing.TB) *Stack {
	in := *s
	in.t = t
	return &in
}

// URL is the address of a path, with its query, at the front door.
func (s *Stack) URL(path string) string { return "http://" + s.Front + path }
