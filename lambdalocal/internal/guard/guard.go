// Package guard keeps web pages away from addresses that need no password. It refuses what a browser on the same machine sends for
// a page of another origin. It also refuses unknown host names, because a page's own name can be made to resolve to any address
// that its browser reaches (DNS rebinding).
package guard

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// New returns a handler that can be called as localhost, by an IP address, or by one of hosts (names, *.example.com for all below),
// and not by a page of another origin. Other pages may link to it: requests with a safe method have no effect there.
func New(hosts []string, next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	hosts = append([]string{"localhost"}, hosts...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !allowed(r.Host, hosts):
			refuse(w, "the Host header must be localhost, an IP address, or one of the configuration's hosts")
		case origins.Check(r) != nil:
			refuse(w, "cross-origin requests may not change anything")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Processes returns a handler for an API of processes on this machine, where even a GET has an effect: nothing that a
// browser sends reaches it.
func Processes(next http.Handler) http.Handler {
	hosts := []string{"localhost", "sandbox.localdomain", "sandbox"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowed(r.Host, hosts) || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			refuse(w, "this is for the environment's processes, not for browsers")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, message string) {
	serviceerror.Send(w, serviceerror.New(serviceerror.TypeAccessDenied, "%s", message))
}

// allowed tells whether a Host header is none that a page could have brought: IP addresses have no name to rebind, browsers
// always send one.
func allowed(host string, hosts []string) bool {
	name := host
	if withoutPort, _, err := net.SplitHostPort(host); err == nil {
		name = withoutPort
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || name == "" {
		return true
	}
	return slices.ContainsFunc(hosts, func(pattern string) bool {
		if domain, wild := strings.CutPrefix(pattern, "*"); wild {
			return len(name) > len(domain) && name[0] != '.' && strings.EqualFold(name[len(name)-len(domain):], domain)
		}
		return strings.EqualFold(name, pattern)
	})
}
