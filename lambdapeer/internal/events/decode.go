package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A kind is a shape of event.
type kind uint8

const (
	other kind = iota
	gatewayV1
	gatewayV2
	loadBalancer
	latticeV1
	latticeV2
)

// String is the kind for logs.
func (k kind) String() string {
	return [...]string{"other", "api_gateway_v1", "api_gateway_v2", "load_balancer", "lattice_v1", "lattice_v2"}[k]
}

// recognize tells what an event is, by the fields that it has. Their types are looked at afterwards: an event that has the
// marks of a request and one field of a wrong type, or null, is a bad request, and not an event for the app to guess at.
func recognize(event object) kind {
	context := event.peek("requestContext")
	broken := context.members == nil && event.marked("requestContext")
	switch {
	case event.has("type"): // of events for authorizers, which look like requests
		return other
	case context.marked("http"), event.marked("rawPath") && event.marked("requestContext"):
		return gatewayV2
	case event.marked("httpMethod") && context.marked("elb"):
		return loadBalancer
	case event.marked("httpMethod") && event.marked("requestContext") && event.marked("path"):
		return gatewayV1
	case event.marked("raw_path") && event.marked("method"):
		return latticeV1
	case event.marked("method") && event.marked("path") && (context.marked("targetGroupArn") || context.marked("serviceArn") || broken):
		return latticeV2
	}
	return other
}

// payload is the union of the events that are HTTP requests.
type payload struct {
	kind         kind
	names        names
	method       string
	path         string // as the event has it
	rawQuery     string // escaped as the client did; empty: see singleQuery and multiQuery
	singleQuery  map[string]string
	multiQuery   map[string][]string
	single       map[string]string   // headers
	multi        map[string][]string // headers
	cookies      []string
	body         string
	base64       bool
	domain       string
	client       string
	stage        string          // of a gateway
	context      json.RawMessage // the event's requestContext
	multiAnswers bool            // a load balancer that wants multi-value headers
}

// names are the fields of an event that hold parts of the request.
type names struct{ method, path, multi, client string }

// decode reads an event. The error is an *Error that names every field of a wrong type.
func decode(data []byte) (payload, error) {
	event, ok := newObject(data)
	if !ok {
		return payload{}, nil
	}
	p := payload{kind: recognize(event)}
	if p.kind != other && event.has("requestContext") {
		p.context = event.members["requestContext"]
	}
	switch p.kind {
	case gatewayV2:
		p.readGatewayV2(event)
	case gatewayV1, loadBalancer:
		p.readGatewayV1(event)
	case latticeV1, latticeV2:
		p.readLattice(event)
	}
	if p.kind != other && event.error() == nil {
		p.check(event)
	}
	return p, event.error()
}

func (p *payload) readGatewayV2(event object) {
	if version := event.text("version"); version != "" && version != "2.0" {
		event.fault("version", fmt.Sprintf("%.20q is not 2.0", version))
	}
	p.names = names{method: "requestContext.http.method", path: "rawPath", client: "requestContext.http.sourceIp"}
	context := event.object("requestContext")
	http := context.object("http")
	p.method, p.client, p.domain = http.text("method"), http.text("sourceIp"), context.text("domainName")
	p.stage = context.text("stage")
	p.path, p.rawQuery = event.text("rawPath"), event.text("rawQueryString")
	p.single, p.cookies = event.texts("headers"), event.list("cookies")
	p.readBody(event, "isBase64Encoded")
}

func (p *payload) readGatewayV1(event object) {
	p.names = names{method: "httpMethod", path: "path", multi: "multiValueHeaders", client: "requestContext.identity.sourceIp"}
	context := event.object("requestContext")
	p.method, p.path, p.domain = event.text("httpMethod"), event.text("path"), context.text("domainName")
	p.client = context.object("identity").text("sourceIp")
	p.stage = context.text("stage")
	p.singleQuery, p.multiQuery = event.texts("queryStringParameters"), event.lists("multiValueQueryStringParameters", false)
	p.single, p.multi = event.texts("headers"), event.lists("multiValueHeaders", false)
	p.multiAnswers = len(p.multi) > 0 || event.has("multiValueHeaders") && !event.has("headers")
	p.readBody(event, "isBase64Encoded")
}

// readLattice reads an event of VPC Lattice. Its path may have the query, too; then that is the one which the client sent.
func (p *payload) readLattice(event object) {
	path, query, base64 := "path", "queryStringParameters", "isBase64Encoded"
	if p.kind == latticeV1 {
		path, query, base64 = "raw_path", "query_string_parameters", "is_base64_encoded"
	}
	p.names = names{method: "method", path: path, multi: "headers"}
	event.object("requestContext")
	p.method = event.text("method")
	p.path, p.rawQuery, _ = strings.Cut(event.text(path), "?")
	p.multiQuery, p.multi = event.lists(query, true), event.lists("headers", true)
	p.readBody(event, base64)
}

func (p *payload) readBody(event object, base64 string) {
	p.body, p.base64 = event.text("body"), event.flag(base64)
}

// check finds what no HTTP request can have.
func (p *payload) check(event object) {
	if !token(p.method) {
		event.fault(p.names.method, "is not an HTTP method")
	}
	switch {
	case p.path != "" && !strings.HasPrefix(p.path, "/"):
		event.fault(p.names.path, "does not begin with /")
	case event.marked(p.names.path) && !event.has(p.names.path), p.kind == gatewayV2 && !event.marked(p.names.path):
		event.fault(p.names.path, "is missing")
	}
	if strings.ContainsFunc(p.domain, outsideHost) {
		event.fault("requestContext.domainName", "is not a host")
	}
	if unprintable(p.client) {
		event.fault(p.names.client, "holds a control character")
	}
	for name, value := range p.single {
		checkField(event, "headers", name, value)
	}
	for name, values := range p.multi {
		for _, value := range values {
			checkField(event, p.names.multi, name, value)
		}
	}
	if slices.ContainsFunc(p.cookies, unprintable) {
		event.fault("cookies", "holds a control character")
	}
}

func checkField(event object, path, name, value string) {
	switch {
	case !token(name):
		event.fault(path, fmt.Sprintf("%.60q is not a name of a header field", name))
	case unprintable(value):
		event.fault(path+"."+name, "holds a control character")
	case strings.EqualFold(name, "host") && strings.ContainsFunc(value, outsideHost):
		event.fault(path+"."+name, "is not a host")
	}
}

// token tells whether s can be a method or a field's name (RFC 9110, 5.6.2).
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c >= 0x80 || !alphanumeric(byte(c)) && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

// unprintable tells whether s cannot be a field's value: a tab may be in one, other control characters not.
func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

func outsideHost(c rune) bool {
	return c >= 0x80 || !alphanumeric(byte(c)) && !strings.ContainsRune("!$%&'()*+,-.:;=[]_~", c)
}
