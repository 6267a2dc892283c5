// Package direct makes one invocation of each HTTP request, as a function URL of Lambda does: the environment serves that
// request and no other until it is answered.
package direct

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/request"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// A Handler serves each function under its name, which may have a qualifier: web:live. The name is the first label of the
// host, http://web.localhost/path, or else the first segment of the path, /web/path; the function sees /path.
type Handler struct {
	// Lookup finds a function by name, nil if there is none.
	Lookup func(name string) *function.Function
	Log    logrus.FieldLogger
}

// A target is the function that a request is for.
type target struct {
	function  *function.Function
	name      string
	qualifier string // empty: the latest version
	path      string // escaped, what the function sees
}

// ServeHTTP answers with what the function answers; 429 if it is throttled, 502 if it fails.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.New()
	w.Header().Set("X-Amzn-RequestId", id)
	t, inv, err := h.invocation(w, r, id)
	switch {
	case err != nil:
	case t.function.Config().StreamURL:
		err = h.stream(w, r, t, inv)
	default:
		err = h.buffer(w, r, t, inv)
	}
	if err == nil || r.Context().Err() != nil { // nobody is there to answer to; the invocation goes on
		return
	}
	h.Log.WithError(err).WithField("request", id).Debug("direct request failed")
	if errors.Is(err, errFunction) {
		w.Header().Set("X-Amzn-ErrorType", "InternalServerErrorException")
		w.Header().Set("Content-Type", "application/json") // which it is not: so AWS answers
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "Internal Server Error")
		return
	}
	serviceerror.Send(w, err)
}

// errFunction: the function gave no answer that is an HTTP response. The log says why.
var errFunction = errors.New("the function failed")

// invocation makes one of the request.
func (h *Handler) invocation(w http.ResponseWriter, r *http.Request, id string) (target, environment.Invocation, error) {
	t, ok := h.find(r)
	if !ok {
		return t, environment.Invocation{}, serviceerror.New(serviceerror.TypeNotFound, "no function for %s%s", r.Host, r.URL.Path)
	}
	version, ok := t.function.Resolve(cmp.Or(t.qualifier, function.Latest))
	if !ok {
		return t, environment.Invocation{}, serviceerror.New(serviceerror.TypeNotFound, "function %s has no version or alias %q", t.name, t.qualifier)
	}
	body, err := request.Body(r, request.MaxPayload)
	if err != nil {
		return t, environment.Invocation{}, err
	}
	inv := environment.Invocation{ID: id, ARN: t.function.Config().ARN(t.qualifier), Version: version, TraceID: request.TraceID(r)}
	w.Header().Set(request.TraceHeader, inv.TraceID)
	r.Header.Set(request.TraceHeader, inv.TraceID)
	if inv.Payload = event(r, t, id, body); len(inv.Payload) > request.MaxPayload {
		err = serviceerror.New(serviceerror.TypeTooLarge, "the request makes an event of more than %d bytes", request.MaxPayload)
	}
	return t, inv, err
}

// buffer answers when the whole answer is there.
func (h *Handler) buffer(w http.ResponseWriter, r *http.Request, t target, inv environment.Invocation) error {
	result, err := t.function.Invoke(r.Context(), function.Call{Invocation: inv, Front: ledger.Direct})
	if err != nil {
		return err
	}
	if result.Outcome != environment.Succeeded {
		h.explain(t, inv.ID, result)
		return errFunction
	}
	a, err := parseAnswer(result.Payload)
	if err != nil {
		h.blame(t, inv.ID, err)
		return errFunction
	}
	a.send(w, r)
	return nil
}

// stream answers as the answer comes. One that has begun and will not be whole is broken off.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, t target, inv environment.Invocation) error {
	s := &stream{w: w}
	inv.Kind, inv.Stream = s.kind, s.chunk
	result, err := t.function.Invoke(r.Context(), function.Call{Invocation: inv, Front: ledger.Direct})
	succeeded := err == nil && result.Outcome == environment.Succeeded
	begun, wrong := s.close(succeeded)
	switch {
	case err != nil:
	case wrong != nil:
		h.blame(t, inv.ID, wrong)
		err = errFunction
	case !succeeded:
		h.explain(t, inv.ID, result)
		err = errFunction
	}
	if err != nil && begun {
		panic(http.ErrAbortHandler)
	}
	return err
}

func (h *Handler) blame(t target, id string, err error) {
	h.Log.WithError(err).WithFields(logrus.Fields{"request": id, "function": t.name}).Warn("the function's answer is no HTTP response")
}

// maxExplained is how much of a function's own error the log gets, in bytes.
const maxExplained = 1 << 10

// explain logs what the caller is not told: the error that the function answered with. Of all other failures the
// environment tells.
func (h *Handler) explain(t target, id string, r environment.Result) {
	if r.Outcome == environment.Errored {
		text := r.Payload[:min(len(r.Payload), maxExplained)]
		h.Log.WithFields(logrus.Fields{"function": t.name, "request": id, "answer": string(text)}).Warn("the function answered with an error")
	}
}

// find looks at the host, then at the path.
func (h *Handler) find(r *http.Request) (target, bool) {
	if label, _, isDomain := strings.Cut(r.Host, "."); isDomain {
		if t, ok := h.named(label); ok {
			t.path = r.URL.EscapedPath()
			return t, true
		}
	}
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	t, ok := h.named(name)
	t.path = "/" + rest
	return t, ok
}

func (h *Handler) named(text string) (target, bool) {
	name, qualifier, _ := strings.Cut(text, ":")
	f := h.Lookup(name)
	return target{function: f, name: name, qualifier: qualifier}, f != nil
}
