package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard wraps the routes with what must hold for every request. A page in the operator's browser must not read or change
// anything here: cross-origin writes are refused, and so are foreign host names, because a page's own name can be made to
// resolve to any address that its browser reaches (DNS rebinding), loopback or not. configured is the address that was asked
// for, hosts are names, *.example.com included, beside its own.
func guard(configured string, hosts []string, next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	own, _, _ := net.SplitHostPort(configured) // it has been listened on
	hosts = append([]string{"localhost", own}, hosts...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if !allowed(r.Host, hosts) {
			fail(w, http.StatusForbidden, "the Host header must be localhost, an IP address, the configured address or one of admin.hosts")
			return
		}
		if err := origins.Check(r); err != nil {
			fail(w, http.StatusForbidden, "cross-origin requests may not change anything")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		next.ServeHTTP(w, r)
	})
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
