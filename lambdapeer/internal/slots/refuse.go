package slots

import (
	"cmp"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/problem"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// longWait is for requests that may fail when they are refused. It is the time that an app has to notice that the client
	// of the request before has left.
	longWait = time.Second
	// shortWait is for those that Envoy sends to another instance. It is longer than a handler that is done takes to return.
	shortWait = 25 * time.Millisecond
	// statedWait bounds the wait for the end of a refused request's body, if its length is stated: Envoy can send only what it
	// has whole. Nothing but the request itself waits meanwhile.
	statedWait = 5 * time.Second
	// endlessWait is the same where no length is stated: the client may never end.
	endlessWait = 25 * time.Millisecond
	// retryAfter tells clients when to come again, in seconds.
	retryAfter = "1"
)

// again returns the URL by which Envoy sends a refused request again, which is its own. It is empty if the request cannot be
// sent again, has been already, or the control plane does not understand that. Whether its body is complete is not looked at.
func (g *Gate) again(r *http.Request) string {
	switch {
	case g.mark == "", r.Header.Get(wire.RefusedHeader) != "", r.ProtoMajor != 2, r.Method == http.MethodConnect:
		return ""
	case r.ContentLength > wire.MaxReplay, len(r.Trailer) > 0:
		return "" // Envoy would lose the trailers
	}
	scheme := r.Header.Get("X-Forwarded-Proto")
	if scheme != "http" && scheme != "https" || !plainHost(r.Host) || !plainPath(r.RequestURI) {
		return ""
	}
	return scheme + "://" + r.Host + r.RequestURI
}

// plainHost tells whether a host survives being part of a URL.
func plainHost(host string) bool {
	return host != "" && strings.Trim(host, "-.0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz") == ""
}

// plainPath tells whether a path with its query survives being part of a URL.
func plainPath(path string) bool {
	if !strings.HasPrefix(path, "/") {
		return false
	}
	for k := range len(path) {
		if c := path[k]; c <= ' ' || c > '~' || c == '#' {
			return false
		}
	}
	return true
}

// patience is how long a request may wait for a slot.
func patience(r *http.Request, target string) time.Duration {
	if target != "" && r.ContentLength >= 0 {
		return shortWait
	}
	return longWait
}

// refuse answers for the peer, before any app has seen the request. Envoy follows a redirect that has the header by itself, to
// the queue, but only if the request is complete and Envoy has kept all of it; else the client gets a 503.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, target string) {
	if target != "" && complete(w, r) {
		g.redirect(w, target)
		return
	}
	w.Header().Set(wire.RefusedHeader, cmp.Or(g.mark, "1"))
	w.Header().Set("Retry-After", retryAfter)
	problem.Overload.Write(w)
}

// redirect has Envoy send the request to another instance.
func (g *Gate) redirect(w http.ResponseWriter, target string) {
	p := problem.Overload
	p.Status = wire.RefusedStatus
	w.Header().Set(wire.RefusedHeader, g.mark)
	w.Header().Set("Location", target)
	p.Write(w)
}

// complete tells whether the request has come to its end, and is no longer than what Envoy keeps.
func complete(w http.ResponseWriter, r *http.Request) bool {
	wait := endlessWait
	if r.ContentLength >= 0 {
		wait = statedWait
	}
	if http.NewResponseController(w).SetReadDeadline(time.Now().Add(wait)) != nil {
		return false
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, wire.MaxReplay+1))
	return err == nil && n <= wire.MaxReplay && len(r.Trailer) == 0
}
