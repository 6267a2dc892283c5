package events

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// hopByHop are the headers that concern one connection only.
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// removeHopByHop removes them, those that Connection names included.
func removeHopByHop(h http.Header) {
	for _, names := range h["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

// request is the HTTP request of an event.
func (p *payload) request(query string) (*http.Request, error) {
	body := []byte(p.body)
	if p.base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(p.body); err != nil {
			return nil, &Error{Type: "LambdaDispatch.InvalidEvent", Message: fmt.Sprintf("event: body: %v", err)}
		}
	}
	header := p.header()
	host := header.Get("Host")
	if host == "" {
		host = p.domain
	}
	header.Del("Host")
	r := newRequest(p.method, escapePath(p.path), escapeQuery(query), body, header)
	r.Host, r.RemoteAddr = orLocalhost(host), p.clientOf(header)
	return r, nil
}

// post is the request for an event that is not an HTTP request.
func post(event []byte, path string) *http.Request {
	path, query, _ := strings.Cut(path, "?")
	r := newRequest(http.MethodPost, escapePath(path), escapeQuery(query), event, http.Header{"Content-Type": {"application/json"}})
	r.Host, r.RemoteAddr = orLocalhost(""), remote("")
	return r
}

func newRequest(method, path, query string, body []byte, header http.Header) *http.Request {
	decoded, _ := url.PathUnescape(path) // path has valid escapes only
	r := &http.Request{
		Method: method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL:    &url.URL{Scheme: "http", Host: "app", Path: decoded, RawPath: path, RawQuery: query},
		Header: header, Body: http.NoBody, ContentLength: int64(len(body)),
	}
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = []string{""} // else net/http's client names itself
	}
	return r
}

func orLocalhost(host string) string {
	if host == "" {
		return "localhost"
	}
	return host
}

// header returns the request's headers, cookies included. Where the event has both maps, a name's values are those of the
// multi-value map, and the other one has the names that are not in it.
func (p *payload) header() http.Header {
	h := make(http.Header, len(p.single)+len(p.multi))
	for _, name := range slices.Sorted(maps.Keys(p.multi)) {
		for _, value := range p.multi[name] {
			h.Add(name, value)
		}
	}
	alone := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(p.single)) {
		alone.Add(name, p.single[name])
	}
	for name, values := range alone {
		if _, there := h[name]; !there {
			h[name] = values
		}
	}
	if len(p.cookies) > 0 {
		h.Set("Cookie", strings.Join(p.cookies, "; "))
	}
	removeHopByHop(h)
	h.Del("Content-Length") // http.Request.ContentLength has it
	return h
}

// clientOf returns the client's address, and adds the X-Forwarded headers that a gateway's test console leaves out. Load
// balancers and VPC Lattice name the client only as the last one in X-Forwarded-For.
func (p *payload) clientOf(h http.Header) string {
	if p.kind != gatewayV1 && p.kind != gatewayV2 {
		all := strings.Join(h["X-Forwarded-For"], ",")
		return remote(all[strings.LastIndexByte(all, ',')+1:])
	}
	if _, ok := h["X-Forwarded-Proto"]; !ok {
		h.Set("X-Forwarded-Proto", "https") // gateways and function URLs speak nothing else
	}
	if _, ok := h["X-Forwarded-For"]; !ok && p.client != "" {
		h.Set("X-Forwarded-For", p.client)
	}
	return remote(p.client)
}

// remote is an address in the form of http.Request.RemoteAddr.
func remote(ip string) string {
	addr, err := netip.ParseAddr(strings.TrimSpace(ip))
	if err != nil {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort(addr.String(), "0")
}

// identify adds the ids by which the invocation's logs and traces are found.
func identify(h http.Header, inv Invocation) {
	if _, ok := h["X-Request-Id"]; !ok && inv.RequestID != "" {
		h.Set("X-Request-Id", inv.RequestID)
	}
	if inv.TraceID != "" {
		h.Set("X-Amzn-Trace-Id", inv.TraceID) // names this invocation, where the event's own names the front end
	}
}

// query returns the parameters that the sender has decoded. As with headers, the multi-value map goes first for its names.
func (p *payload) query() url.Values {
	values := make(url.Values, len(p.singleQuery)+len(p.multiQuery))
	for name, value := range p.singleQuery {
		values.Set(name, value)
	}
	for name, list := range p.multiQuery {
		if len(list) > 0 {
			values[name] = list
		}
	}
	return values
}

// encodedQuery returns the parameters of a load balancer, which passes them on as the client encoded them.
func (p *payload) encodedQuery() string {
	values := p.query()
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			pairs = append(pairs, name+"="+value)
		}
	}
	return strings.Join(pairs, "&")
}
