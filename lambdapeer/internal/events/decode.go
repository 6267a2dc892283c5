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
// marks of a request and one field of a wrong type is a bad request, and not an event for the app to guess at.
func recognize(event object) kind {
	context, http := event.peek("requestContext"), event.peek("requestContext").has("http")
	switch {
	case event.has("type"): // of events for authorizers, which look like requests
		return other
	case http && event.has("rawPath"):
		return gatewayV2
	case event.has("httpMethod") && context.has("elb"):
		return loadBalancer
	case event.has("httpMethod") && event.has("requestContext") && event.has("path"):
		return gatewayV1
	case event.has("raw_path") && event.has("method"):
		return latticeV1
	case event.has("method") && event.has("path") && (context.has("targetGroupArn") || context.has("serviceArn")):
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
type names struct{ method, path, multi string }

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
	p.names = names{method: "requestContext.http.method", path: "rawPath"}
	context := event.object("requestContext")
	http := context.object("http")
	p.method, p.client, p.domain = http.text("method"), http.text("sourceIp"), context.text("domainName")
	p.stage = context.text("stage")
	p.path, p.rawQuery = event.text("rawPath"), event.text("rawQueryString")
	p.single, p.cookies = event.texts("headers"), event.list("cookies")
	p.readBody(event, "isBase64Encoded")
}

func (p *payload) readGatewayV1(event object) {
	p.names = names{method: "httpMethod", path: "path", multi: "multiValueHeaders"}
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
		event.fault(p.names.method, "is no HTTP method")
	}
	if p.path != "" && !strings.HasPrefix(p.path, "/") {
		event.fault(p.names.path, "does not begin with /")
	}
	if strings.ContainsFunc(p.domain, outsideHost) {
		event.fault("requestContext.domainName", "is no host")
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
		event.fault(path, fmt.Sprintf("%.60q is no name of a field", name))
	case unprintable(value):
		event.fault(path+"."+name, "holds a control character")
	case strings.EqualFold(name, "host") && strings.ContainsFunc(value, outsideHost):
		event.fault(path+"."+name, "is no host")
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

// An object is a JSON object whose members are read by name and type. null is the same as nothing. A member of another
// type counts as a fault of the event.
type object struct {
	path    string // with a final dot; empty for the event itself
	members map[string]json.RawMessage
	faults  *[]string
}

func newObject(data []byte) (object, bool) {
	o := object{faults: new([]string)}
	err := json.Unmarshal(data, &o.members)
	return o, err == nil
}

func (o object) has(name string) bool {
	raw, ok := o.members[name]
	return ok && string(raw) != "null"
}

// maxFaults bounds how much of a bad event is explained.
const maxFaults = 8

func (o object) fault(name, what string) {
	if len(*o.faults) < maxFaults {
		*o.faults = append(*o.faults, o.path+name+": "+what)
	}
}

func (o object) error() error {
	if len(*o.faults) == 0 {
		return nil
	}
	slices.Sort(*o.faults)
	return &Error{Type: "LambdaDispatch.InvalidEvent", Message: "event: " + strings.Join(*o.faults, "; ")}
}

// peek returns a member that is an object, and an empty one for anything else, which is no fault.
func (o object) peek(name string) object {
	inner := object{path: o.path + name + ".", faults: o.faults}
	_ = json.Unmarshal(o.members[name], &inner.members)
	return inner
}

func (o object) object(name string) object {
	if inner := o.peek(name); inner.members != nil || !o.has(name) {
		return inner
	}
	o.fault(name, "must be an object")
	return object{faults: o.faults}
}

// text and flag return the member, or the zero value.
func (o object) text(name string) string { return read[string](o, name, "a string") }
func (o object) flag(name string) bool   { return read[bool](o, name, "true or false") }

// list returns an array of strings.
func (o object) list(name string) []string {
	var list []string
	for i, raw := range read[[]json.RawMessage](o, name, "an array") {
		if text, ok := textOf(raw); ok {
			list = append(list, text)
		} else {
			o.fault(fmt.Sprintf("%s[%d]", name, i), "must be a string")
		}
	}
	return list
}

// texts returns an object of strings.
func (o object) texts(name string) map[string]string {
	inner, texts := o.object(name), map[string]string{}
	for member := range inner.members {
		if inner.has(member) {
			texts[member] = inner.text(member)
		}
	}
	return texts
}

// lists returns an object of arrays of strings. Where alone is true, a string may stand for an array of one.
func (o object) lists(name string, alone bool) map[string][]string {
	inner, lists := o.object(name), map[string][]string{}
	for member, raw := range inner.members {
		if text, ok := textOf(raw); ok && alone {
			lists[member] = []string{text}
		} else if inner.has(member) {
			lists[member] = inner.list(member)
		}
	}
	return lists
}

func read[T any](o object, name, want string) (v T) {
	if o.has(name) && json.Unmarshal(o.members[name], &v) != nil {
		o.fault(name, "must be "+want)
	}
	return v
}

func textOf(raw json.RawMessage) (text string, ok bool) {
	ok = string(raw) != "null" && json.Unmarshal(raw, &text) == nil
	return text, ok
}
