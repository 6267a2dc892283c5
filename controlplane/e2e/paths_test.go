package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// Targets that must reach the app as they were written.
var targets = []string{
	"/",
	"/?",
	"/a?",
	"/a?x=1&x=2&y[]=%20&y[0][k]=v&z",
	"/a?b?c=d&&e==f&;g&%5B%5D+%2B",
	"/a/b//c///",
	"//a",
	"//other.example/a",
	"/a%2Fb%2fc%5Cd",
	"/./a/../b/..",
	"/../../a",
	"/%2e%2e/%2E/a",
	"/a;b=c/d,e@f:g!$&'()*+=~-._",
	"/h%C3%A4%E2%9C%93/%00%0D%0A%20",
	"/a?next=http://other.example/%3Fq%3D1",
}

// Targets that no client should send. Each must reach the app as it is, or be refused.
var strangeTargets = []string{
	"/%", "/%zz", "/%2", "/a%u0041",
	"/[a]/{b}|c^`d\"<e>", `/a\..\b`,
	"/hä✓", "/\xff\xfe",
	"/a b", "/a\tb", "/a#fragment", "/?a#b",
	"/\x00", "/a\x01", "/a\x7f",
	"", "*", "a", "?x", "http:/a", "http://", "http://other.example/a", "ftp://other.example/a", "other.example:80",
}

// Scenario 12.
func targetsAreExact(t *testing.T, s site) {
	for _, target := range targets {
		require.Equal(t, target, s.inspectRaw(target, s.host()).inspection(t).RequestURI)
		stripped := s.inspectRaw("/"+s.name+target, "any.example")
		require.Equal(t, target, stripped.inspection(t).RequestURI, "below /%s", s.name)
	}
	for _, other := range []string{"x", "%2Fa", "%2fa", "/../" + s.name + "x/a"} {
		a := s.inspectRaw("/"+s.name+other, "any.example")
		if a.StatusCode != http.StatusNotFound { // nobody's path, or a path of this function: never another one's
			require.Equal(t, other, a.inspection(t).RequestURI)
		}
	}
}

// Scenario 12, through a client that may speak HTTP/2. It cannot send all of them.
func libraryTargetsAreExact(t *testing.T, s site) {
	for _, target := range targets {
		if strings.HasPrefix(target, "//") {
			continue
		}
		r := s.request(http.MethodGet, target, nil)
		r.Header.Set(contract.RouteHeader, "inspect")
		require.Equal(t, target, s.do(r).inspection(t).RequestURI)
	}
}

// Scenario 12.
func strangeTargetsAreExactOrRefused(t *testing.T, s site) {
	process := s.process()
	for _, target := range strangeTargets {
		a := s.inspectRaw(target, s.host())
		if a.StatusCode >= 400 && a.StatusCode < 500 {
			continue
		}
		require.Equal(t, target, a.inspection(t).RequestURI)
	}
	require.Equal(t, process, s.process())
}

// Scenario 12.
func longTargetsAreExact(t *testing.T, s site) {
	process := s.process()
	for _, start := range []string{"/inspect/", "/inspect?q="} {
		target := start + strings.Repeat("x%20", 2048)
		require.Equal(t, target, s.get(target).inspection(t).RequestURI)
	}
	require.Equal(t, process, s.process())
}

// inspectRaw asks the app how a request for this target looks to it, byte by byte.
func (s site) inspectRaw(target, host string) answer {
	s.t.Helper()
	return s.raw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n%s: inspect\r\n\r\n", target, host, contract.RouteHeader))
}
