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

// request is the HTTP request of an event. path and query are escaped.
func (p *payload) request(method, path, query string) (*http.Request, error) {
	body := []byte(p.Body)
	if p.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(p.Body); err != nil {
			return nil, &Error{Type: "LambdaDispatch.InvalidEvent", Message: fmt.Sprintf("event: body: %v", err)}
		}
	}
	header := p.header()
	host := header.Get("Host")
	if host == "" {
		host = p.RequestContext.DomainName
	}
	header.Del("Host")
	r := newRequest(method, path, query, body, header)
	r.Host, r.RemoteAddr = orLocalhost(host), p.client(header)
	return r, nil
}

// post is the request for an event that is none itself.
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

// header returns the request's headers, cookies included.
func (p *payload) header() http.Header {
	h := make(http.Header, len(p.Headers)+len(p.MultiValueHeaders))
	for _, name := range slices.Sorted(maps.Keys(p.MultiValueHeaders)) {
		for _, value := range p.MultiValueHeaders[name] {
			h.Add(name, value)
		}
	}
	if p.MultiValueHeaders == nil {
		for _, name := range slices.Sorted(maps.Keys(p.Headers)) {
			h.Add(name, p.Headers[name])
		}
	}
	if len(p.Cookies) > 0 {
		h.Set("Cookie", strings.Join(p.Cookies, "; "))
	}
	removeHopByHop(h)
	h.Del("Content-Length") // the body has one
	return h
}

// client returns the client's address, and adds what a gateway's test console leaves out. A load balancer names the client
// only as the last one in X-Forwarded-For.
func (p *payload) client(h http.Header) string {
	if p.RequestContext.ELB != nil {
		all := strings.Join(h["X-Forwarded-For"], ",")
		return remote(all[strings.LastIndexByte(all, ',')+1:])
	}
	ip := p.RequestContext.Identity.SourceIP
	if p.RequestContext.HTTP != nil {
		ip = p.RequestContext.HTTP.SourceIP
	}
	if _, ok := h["X-Forwarded-Proto"]; !ok {
		h.Set("X-Forwarded-Proto", "https") // gateways and function URLs speak nothing else
	}
	if _, ok := h["X-Forwarded-For"]; !ok && ip != "" {
		h.Set("X-Forwarded-For", ip)
	}
	return remote(ip)
}

// remote is an address as http.Request.RemoteAddr has it.
func remote(ip string) string {
	addr, err := netip.ParseAddr(strings.TrimSpace(ip))
	if err != nil {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort(addr.String(), "0")
}

// identify adds what leads to the invocation's logs and traces.
func identify(h http.Header, inv Invocation) {
	if _, ok := h["X-Request-Id"]; !ok && inv.RequestID != "" {
		h.Set("X-Request-Id", inv.RequestID)
	}
	if inv.TraceID != "" {
		h.Set("X-Amzn-Trace-Id", inv.TraceID) // names this invocation, where the event's own names the front end
	}
}

// query returns the parameters of payload 1.0, which the gateway has decoded.
func (p *payload) query() url.Values {
	if p.MultiValueQueryStringParameters != nil {
		return p.MultiValueQueryStringParameters
	}
	values := make(url.Values, len(p.QueryStringParameters))
	for name, value := range p.QueryStringParameters {
		values.Set(name, value)
	}
	return values
}

// rawQuery returns the parameters of a load balancer, which passes them on as the client encoded them.
func (p *payload) rawQuery() string {
	values := p.query()
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			pairs = append(pairs, name+"="+value)
		}
	}
	return escapeQuery(strings.Join(pairs, "&"))
}
