// Package problem writes the errors with which the peer itself answers. They look like those of the control plane and of Envoy
// (RFC 9457, with a cause), so that no client takes one for an answer of the app.
package problem

import (
	"fmt"
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Problem is a constant: its texts are sent as they are, and to clients, so they tell nothing about this instance.
type Problem struct {
	Status int
	Title  string // for people
	Cause  string // for programs; docs/operating.md explains each
}

// The peer's problems.
var (
	NoAnswer = Problem{http.StatusBadGateway, "The app did not answer", wire.CauseNoAnswer}
	// Envoy answers with these causes, too.
	AnswerInvalid = Problem{http.StatusBadGateway, "The function's answer is malformed or its headers are too large", wire.CauseAnswerInvalid}
	Overload      = Problem{http.StatusServiceUnavailable, "Too many requests at once", wire.CauseOverload}
)

// An Owner is a writer of the app's answers, which must not look like the peer's.
type Owner interface {
	// Own says that what follows is the peer's.
	Own()
	// Refuse has a request sent to another instance that the app cannot have seen, and tells whether that is possible.
	Refuse() bool
}

// OwnerOf finds the owner among the writers that wrap each other. It returns nil if there is none.
func OwnerOf(w http.ResponseWriter) Owner {
	for {
		switch t := w.(type) {
		case Owner:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// Write answers with the problem. It keeps the header fields that are set already.
func (p Problem) Write(w http.ResponseWriter) {
	if o := OwnerOf(w); o != nil {
		o.Own()
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set(wire.CauseHeader, p.Cause)
	w.WriteHeader(p.Status)
	_, _ = fmt.Fprintf(w, `{"type":"about:blank","title":%q,"status":%d,"cause":%q}`+"\n", p.Title, p.Status, p.Cause)
}
