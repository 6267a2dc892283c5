package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard wraps the routes with checks of every request. A web page in the operator's browser must not read or change anything here. So
// cross-origin writes are refused, and so are foreign host names: a page can make its own name resolve to any address that the browser
// reaches (DNS rebinding), loopback included. configured is the configured address. hosts are further names by which the server may be
// called, such as *.example.com.
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

// allowed tells whether a Host header cannot come from DNS rebinding. An IP address has no name that could be rebound, and a browser
// always sends a Host header.
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
