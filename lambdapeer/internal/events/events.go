// Package events turns a Lambda event of another sender than Lambda Dispatch into one HTTP request, and the app's answer into
// what that sender expects: API Gateway (payloads 1.0 and 2.0), a function URL, a load balancer, or VPC Lattice. Any other event
// is the JSON body of a POST, and the answer's body is the result.
package events

import (
	"cmp"
	"net/http"
	"time"
)

// DefaultPath is the path to which an event that is not an HTTP request is POSTed.
const DefaultPath = "/events"

// MaxAnswer is the longest answer of a buffered invocation that Lambda accepts, in bytes.
const MaxAnswer = 6 << 20

// An Invocation is what the Runtime API hands out.
type Invocation struct {
	Payload   []byte
	RequestID string
	TraceID   string // empty: none
	// What the runtime is told beside, for ContextHeader.
	ARN           string
	Deadline      time.Time
	ClientContext string // JSON; empty: none
	Identity      string // JSON; empty: none
}

// Options say how events become requests. The zero value POSTs other events to the root.
type Options struct {
	Path string // for events that are not HTTP requests; it may have a query
	// BasePath is dropped from the paths of requests that begin with it. DropStage drops the name of the event's stage.
	BasePath  string
	DropStage bool
	// Context adds RequestContextHeader and ContextHeader to requests.
	Context bool
}

// An Error is how an event fails as a function error. Type is what Lambda shows as errorType.
type Error struct {
	Type    string
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// An Event is a decoded invocation.
type Event struct {
	// Kind is for logs: api_gateway_v1, api_gateway_v2 (function URLs too), load_balancer, lattice_v1, lattice_v2 or other.
	Kind string
	// Request is for the app. Its RemoteAddr is the client's address, without a port of any meaning; its URL's host means
	// nothing.
	Request *http.Request
	// Streams says that the sender may take its answer in pieces: gateways and function URLs.
	Streams bool

	encode func(*http.Response, []byte) (any, error)
}

// Decode reads an event. The error is an *Error.
func Decode(inv Invocation, o Options) (*Event, error) {
	p, err := decode(inv.Payload)
	if err != nil {
		return nil, err
	}
	p.path = o.shorten(p)
	e := &Event{Kind: p.kind.String(), Streams: p.kind == gatewayV1 || p.kind == gatewayV2}
	switch p.kind {
	case other:
		e.Request, e.encode = post(inv.Payload, o.Path), result
	case gatewayV2:
		e.encode = encodeV2
		e.Request, err = p.request(p.rawQuery)
	case gatewayV1:
		e.encode = encodeV1
		e.Request, err = p.request(p.query().Encode())
	case loadBalancer:
		e.encode = encodeSingle
		if p.multiAnswers {
			e.encode = encodeMulti
		}
		e.Request, err = p.request(p.encodedQuery())
	case latticeV1, latticeV2:
		e.encode = encodeSingle
		e.Request, err = p.request(cmp.Or(p.rawQuery, p.query().Encode()))
	}
	if err != nil {
		return nil, err
	}
	identify(e.Request.Header, inv)
	if o.Context {
		Conceal(e.Request.Header)
		reveal(e.Request.Header, p, inv)
	}
	return e, nil
}
