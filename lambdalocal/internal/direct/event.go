package direct

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// A urlEvent is the payload of a function URL, which is API Gateway's format 2.0.
type urlEvent struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	QueryParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext  requestContext    `json:"requestContext"`
	Body            string            `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string     `json:"accountId"`
	APIID        string     `json:"apiId"`
	DomainName   string     `json:"domainName"`
	DomainPrefix string     `json:"domainPrefix"`
	HTTP         httpFields `json:"http"`
	RequestID    string     `json:"requestId"`
	RouteKey     string     `json:"routeKey"`
	Stage        string     `json:"stage"`
	Time         string     `json:"time"`
	TimeEpoch    int64      `json:"timeEpoch"`
}

type httpFields struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

const defaultRoute = "$default"

// event describes the request in JSON.
func event(r *http.Request, t target, id string, body []byte) []byte {
	now := time.Now().UTC()
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	e := urlEvent{
		Version: "2.0", RouteKey: defaultRoute, RawPath: t.path, RawQueryString: r.URL.RawQuery,
		Headers: headers(r, ip), QueryParameters: parameters(r),
		RequestContext: requestContext{
			AccountID: "anonymous", APIID: t.name, DomainName: r.Host, DomainPrefix: t.name, RequestID: id,
			RouteKey: defaultRoute, Stage: defaultRoute, Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
			HTTP: httpFields{Method: r.Method, Path: unescaped(t.path, url.PathUnescape), Protocol: r.Proto, SourceIP: ip, UserAgent: r.UserAgent()},
		},
	}
	for _, line := range r.Header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			e.Cookies = append(e.Cookies, strings.TrimSpace(cookie))
		}
	}
	e.Body, e.IsBase64Encoded = string(body), !isText(r.Header) || !utf8.Valid(body)
	if e.IsBase64Encoded {
		e.Body = base64.StdEncoding.EncodeToString(body)
	}
	var payload bytes.Buffer
	encoder := json.NewEncoder(&payload)
	encoder.SetEscapeHTML(false) // six bytes for each &, < and > make many bodies too large
	_ = encoder.Encode(e)
	return bytes.TrimSuffix(payload.Bytes(), []byte("\n"))
}

// headers have lower-case names and one value each. Cookies are apart.
func headers(r *http.Request, ip string) map[string]string {
	all := map[string]string{"host": r.Host}
	for name, values := range r.Header {
		if name != "Cookie" {
			all[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	if before := all["x-forwarded-for"]; before != "" {
		ip = before + ", " + ip
	}
	all["x-forwarded-for"], all["x-forwarded-proto"] = ip, "http"
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		all["x-forwarded-port"] = port
	}
	return all
}

// parameters have one value each. What is badly encoded stays as it is, and only & separates: net/url drops the one, and what has a
// semicolon.
func parameters(r *http.Request) map[string]string {
	all := map[string]string{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescaped(name, url.QueryUnescape), unescaped(value, url.QueryUnescape)
		if before, ok := all[name]; ok {
			value = before + "," + value
		}
		all[name] = value
	}
	return all
}

func unescaped(text string, unescape func(string) (string, error)) string {
	if plain, err := unescape(text); err == nil {
		return plain
	}
	return text
}

// isText says whether a body goes into the event as it is. Forms do not: AWS encodes them.
func isText(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return h.Get("Content-Type") == ""
	}
	switch kind {
	case "application/json", "application/javascript", "application/xml":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}
