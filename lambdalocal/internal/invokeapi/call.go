package invokeapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/request"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// Invocation types.
const (
	kindSync   = "RequestResponse"
	kindEvent  = "Event"
	kindDryRun = "DryRun"
)

// Lambda's limits, in bytes.
const (
	maxEventPayload  = 1 << 20
	maxClientContext = 3583 // in base64
)

// A call is a request to invoke a function.
type call struct {
	target   target
	function *function.Function
	kind     string
	tail     bool // of the log is wanted
	inv      environment.Invocation
}

// wanted is the call for its function.
func (c call) wanted() function.Call {
	return function.Call{Invocation: c.inv, Front: ledger.Invoke, Log: c.tail}
}

// call reads the request. The invocation's id is valid even if it fails.
func (h *Handler) call(r *http.Request) (call, error) {
	c := call{inv: environment.Invocation{ID: uuid.New(), TraceID: request.TraceID(r)}}
	var err error
	if c.target, err = h.target(r); err != nil {
		return c, err
	}
	c.kind = cmp.Or(r.Header.Get("X-Amz-Invocation-Type"), kindSync)
	if err = oneOf(c.kind, "invocationType", kindEvent, kindSync, kindDryRun); err != nil {
		return c, err
	}
	if c.tail, err = tail(r); err != nil {
		return c, err
	}
	if err = h.resolve(&c); err != nil {
		return c, err
	}
	if c.inv.ClientContext, err = clientContext(r); err != nil {
		return c, err
	}
	c.inv.Payload, err = readPayload(r, c.kind)
	return c, err
}

// resolve finds the function and the version to run.
func (h *Handler) resolve(c *call) error {
	known := false
	if c.function = h.function(c.target); c.function != nil {
		c.inv.Version, known = c.function.Resolve(c.target.version())
	}
	if !known {
		c.target.qualifier = c.target.version()
		return h.notFound(c.target)
	}
	c.inv.ARN = h.arn(c.target)
	return nil
}

// target is the function that the path and the query name, which may not exist.
func (h *Handler) target(r *http.Request) (target, error) {
	t, err := parseTarget(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	if err == nil {
		err = h.foreign(t)
	}
	return t, err
}

// function is nil if there is none.
func (h *Handler) function(t target) *function.Function {
	i := slices.IndexFunc(h.Functions, func(f *function.Function) bool { return f.Config().Function == t.name })
	if i < 0 {
		return nil
	}
	return h.Functions[i]
}

// find returns the function that a request names, whose qualifier may not exist.
func (h *Handler) find(r *http.Request) (target, *function.Function, error) {
	t, err := h.target(r)
	if err != nil {
		return t, nil, err
	}
	f := h.function(t)
	if f == nil {
		return t, nil, h.notFound(t)
	}
	return t, f, nil
}

// known tells whether the function exists, and the version or alias that the target names.
func (h *Handler) known(t target) (ok bool) {
	if f := h.function(t); f != nil {
		_, ok = f.Resolve(t.version())
	}
	return ok
}

// findWhole is find for a call about the function itself, which must not name a version of it: it would change another one.
func (h *Handler) findWhole(r *http.Request) (*function.Function, error) {
	t, f, err := h.find(r)
	if err == nil && t.version() != function.Latest {
		err = serviceerror.New(serviceerror.TypeInvalidValue, "This operation is of the function, not of a version or alias: %s", t.qualifier)
	}
	return f, err
}

// foreign says why a function of another region or account is not to be reached here.
func (h *Handler) foreign(t target) error {
	switch {
	case t.region != "" && t.region != h.Region:
		return serviceerror.New(serviceerror.TypeNotFound, "Functions from '%s' are not reachable in this region ('%s')", t.region, h.Region)
	case t.account != "" && t.account != h.AccountID:
		return serviceerror.New(serviceerror.TypeAccessDenied,
			"not authorized to perform this action on the function %s of account %s", t.name, t.account)
	}
	return nil
}

func (h *Handler) notFound(t target) error {
	return serviceerror.New(serviceerror.TypeNotFound, "Function not found: %s", h.arn(t))
}

// arn names the function as it was invoked: without a qualifier if there was none.
func (h *Handler) arn(t target) string {
	arn := fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", h.Region, h.AccountID, t.name)
	if t.qualifier != "" {
		arn += ":" + t.qualifier
	}
	return arn
}

func readPayload(r *http.Request, kind string) ([]byte, error) {
	limit := int64(request.MaxPayload)
	if kind == kindEvent {
		limit = maxEventPayload
	}
	payload, err := request.Body(r, limit)
	switch {
	case err != nil:
		return nil, err
	case len(payload) == 0:
		return []byte("{}"), nil
	case !json.Valid(payload) || !utf8.Valid(payload):
		return nil, serviceerror.New(serviceerror.TypeInvalidContent, "Could not parse request body into json: Could not parse payload into json")
	}
	return payload, nil
}

// tail says whether the caller wants the log's.
func tail(r *http.Request) (bool, error) {
	kind := cmp.Or(r.Header.Get("X-Amz-Log-Type"), "None")
	return kind == "Tail", oneOf(kind, "logType", "None", "Tail")
}

// clientContext is the one that the caller sends, in JSON; empty: it sends none.
func clientContext(r *http.Request) (string, error) {
	encoded := r.Header.Get("X-Amz-Client-Context")
	if encoded == "" {
		return "", nil
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	var object map[string]json.RawMessage
	if err != nil || json.Unmarshal(text, &object) != nil || object == nil {
		return "", serviceerror.New(serviceerror.TypeInvalidContent, "Client context must be a valid Base64-encoded JSON object.")
	}
	if len(encoded) > maxClientContext {
		return "", serviceerror.New(serviceerror.TypeInvalidContent, "Client context must be at most %d bytes in Base64, got %d", maxClientContext, len(encoded))
	}
	return string(text), nil
}
