// Package events turns a Lambda event that is not of Lambda Dispatch into one HTTP request, and the app's answer into what
// the event's sender expects: API Gateway (payloads 1.0 and 2.0), a function URL, or a load balancer. Any other event is
// the JSON body of a POST, and the answer's body is the result.
package events

import (
	"encoding/json"
	"net/http"
	"strings"
)

// DefaultPath is where an event that is no HTTP request is POSTed to.
const DefaultPath = "/events"

// MaxAnswer is what Lambda takes as the answer of a buffered invocation, in bytes.
const MaxAnswer = 6 << 20

// An Invocation is what the Runtime API hands out.
type Invocation struct {
	Payload   []byte
	RequestID string
	TraceID   string // empty: none
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
	// Kind is for logs: api_gateway_v1, api_gateway_v2 (function URLs too), load_balancer or other.
	Kind string
	// Request is for the app. Its RemoteAddr is the client's address, without a port of any meaning; its URL's host means
	// nothing.
	Request *http.Request

	encode func(*http.Response, []byte) (any, error)
}

// Decode reads an event. path is for one that is no HTTP request, and may have a query. The error is an *Error.
func Decode(inv Invocation, path string) (*Event, error) {
	e := &Event{Kind: "other"}
	var err error
	var p payload
	switch kind := p.decode(inv.Payload); kind {
	case other:
		e.Request, e.encode = post(inv.Payload, path), result
	case gatewayV2:
		e.Kind, e.encode = "api_gateway_v2", encodeV2
		e.Request, err = p.request(p.RequestContext.HTTP.Method, escapePath(p.RawPath), escapeQuery(p.RawQueryString))
	case gatewayV1:
		e.Kind, e.encode = "api_gateway_v1", encodeV1
		e.Request, err = p.request(p.HTTPMethod, escapePath(p.Path), p.query().Encode())
	case loadBalancer:
		e.Kind, e.encode = "load_balancer", encodeSingle
		if p.MultiValueHeaders != nil {
			e.encode = encodeMulti
		}
		e.Request, err = p.request(p.HTTPMethod, escapePath(p.Path), p.rawQuery())
	}
	if err != nil {
		return nil, err
	}
	identify(e.Request.Header, inv)
	return e, nil
}

// A kind is a shape of event.
type kind uint8

const (
	other kind = iota
	gatewayV1
	gatewayV2
	loadBalancer
)

// payload is the union of the events that are HTTP requests.
type payload struct {
	Version                         string              `json:"version"`
	Type                            string              `json:"type"` // of events for authorizers, which look like requests
	HTTPMethod                      string              `json:"httpMethod"`
	Path                            string              `json:"path"`
	RawPath                         string              `json:"rawPath"`
	RawQueryString                  string              `json:"rawQueryString"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`
	Headers                         map[string]string   `json:"headers"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	Cookies                         []string            `json:"cookies"`
	Body                            string              `json:"body"`
	IsBase64Encoded                 bool                `json:"isBase64Encoded"`
	RequestContext                  *requestContext     `json:"requestContext"`
}

type requestContext struct {
	DomainName string `json:"domainName"`
	HTTP       *struct {
		Method   string `json:"method"`
		SourceIP string `json:"sourceIp"`
	} `json:"http"`
	Identity struct {
		SourceIP string `json:"sourceIp"`
	} `json:"identity"`
	ELB *struct{} `json:"elb"`
}

// decode fills p and tells what it is. What does not decode as an HTTP request is another event.
func (p *payload) decode(data []byte) kind {
	if json.Unmarshal(data, p) != nil || p.RequestContext == nil || p.Type != "" {
		return other
	}
	switch {
	case p.Version == "2.0" && p.RequestContext.HTTP != nil && p.RequestContext.HTTP.Method != "" && rooted(p.RawPath):
		return gatewayV2
	case p.HTTPMethod == "" || !rooted(p.Path):
		return other
	case p.RequestContext.ELB != nil:
		return loadBalancer
	default:
		return gatewayV1
	}
}

func rooted(path string) bool { return path == "" || strings.HasPrefix(path, "/") }
