package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard wraps the routes with what must hold for every request. A page in the operator's browser must not read or change
// anything here: cross-origin writes are refused, and on loopback so are foreign host names, because a page's own name
// can be made to resolve to loopback (DNS rebinding). An address that is not loopback may be called by any name.
func guard(bound net.Addr, configured string, next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	host, _, _ := net.SplitHostPort(configured) // it has been listened on
	anyName := !isLoopback(bound)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if !anyName && !isLocalName(r.Host, host) {
			fail(w, http.StatusForbidden, "the Host header must be localhost, an IP address or the configured address")
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

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// isLocalName tells whether a Host header cannot be another site's name. IP addresses have no name to rebind.
func isLocalName(host, configured string) bool {
	name := host
	if withoutPort, _, err := net.SplitHostPort(host); err == nil {
		name = withoutPort
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil || strings.EqualFold(name, "localhost") || configured != "" && strings.EqualFold(name, configured)
}
