// Package invokeapi is the HTTP front of Lambda's Invoke API, as AWS SDKs call it. Signatures are not checked.
package invokeapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

const (
	maxPayload = 6 << 20
	// maxDrain is how much of a payload that is too large is read and thrown away, so that the client, still writing,
	// gets to read the answer.
	maxDrain = 64 << 20
)

// A Function runs invocations. Its errors are *serviceerror.Error, or the context's.
type Function interface {
	Invoke(context.Context, environment.Invocation) (environment.Result, error)
}

// A Handler serves the API.
type Handler struct {
	// Lookup finds a function by name, nil if there is none.
	Lookup  func(name string) Function
	Region  string
	Account string
	Log     logrus.FieldLogger
}

// Register adds the API's routes.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", h.invoke)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		sendError(w, serviceerror.New(serviceerror.TypeUnknown, "lambdalocal does not serve %s %s", r.Method, r.URL.Path))
	})
}

func (h *Handler) invoke(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	w.Header().Set("X-Amzn-RequestId", id)
	result, inv, err := h.run(r, id)
	switch {
	case r.Context().Err() != nil: // nobody to answer to; the invocation goes on
	case err != nil:
		h.Log.WithError(err).WithField("request", id).Debug("invocation refused")
		sendError(w, err)
	case inv == nil: // a dry run
		w.WriteHeader(http.StatusNoContent)
	default:
		h.Log.WithFields(logrus.Fields{"request": id, "outcome": result.Outcome, "duration": result.Duration}).Debug("invocation ended")
		sendResult(w, r, inv, result)
	}
}

// run is the whole of a request but its answer. Without an error and an invocation it was a dry run.
func (h *Handler) run(r *http.Request, id string) (environment.Result, *environment.Invocation, error) {
	none := environment.Result{}
	t, err := parseTarget(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
	if err != nil {
		return none, nil, err
	}
	function := h.Lookup(t.name)
	if function == nil {
		return none, nil, serviceerror.New(serviceerror.TypeNotFound, "Function not found: %s", h.arn(t))
	}
	payload, err := readPayload(r)
	if err != nil {
		return none, nil, err
	}
	inv := &environment.Invocation{ID: id, ARN: h.arn(t), Version: t.version(), TraceID: traceID(r), Payload: payload}
	if inv.ClientContext, err = clientContext(r); err != nil {
		return none, nil, err
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		result, err := function.Invoke(r.Context(), *inv)
		return result, inv, err
	case "DryRun":
		return none, nil, nil
	default:
		return none, nil, serviceerror.New(serviceerror.TypeInvalidValue, "lambdalocal does not know the invocation type %q, only RequestResponse and DryRun", kind)
	}
}

// arn names the function as it was invoked: without a qualifier if there was none.
func (h *Handler) arn(t target) string {
	arn := fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", h.Region, h.Account, t.name)
	if t.qualifier != latest {
		arn += ":" + t.qualifier
	}
	return arn
}

func readPayload(r *http.Request) ([]byte, error) {
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	switch {
	case err != nil:
		return nil, serviceerror.New(serviceerror.TypeInvalidContent, "Could not read the request: %v", err)
	case len(payload) > maxPayload:
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		return nil, serviceerror.New(serviceerror.TypeTooLarge, "Request must be smaller than %d bytes for the InvokeFunction operation", maxPayload)
	case len(payload) == 0:
		return []byte("{}"), nil
	case !json.Valid(payload):
		return nil, serviceerror.New(serviceerror.TypeInvalidContent, "Could not parse request body into json")
	}
	return payload, nil
}

func clientContext(r *http.Request) (string, error) {
	text, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Client-Context"))
	if err != nil {
		return "", serviceerror.New(serviceerror.TypeInvalidContent, "X-Amz-Client-Context: %v", err)
	}
	return string(text), nil
}

func sendResult(w http.ResponseWriter, r *http.Request, inv *environment.Invocation, result environment.Result) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amz-Executed-Version", inv.Version)
	h.Set("X-Amzn-Trace-Id", inv.TraceID)
	if result.Outcome != environment.Succeeded {
		h.Set("X-Amz-Function-Error", "Unhandled")
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.Tail))
	}
	_, _ = w.Write(result.Payload)
}

// sendError writes the error in the shape that the SDKs parse.
func sendError(w http.ResponseWriter, err error) {
	var e *serviceerror.Error
	if !errors.As(err, &e) {
		e = serviceerror.New(serviceerror.TypeService, "%v", err)
	}
	body := map[string]string{"Type": "User", "message": e.Message}
	if e.Status >= http.StatusInternalServerError {
		body["Type"] = "Service"
	}
	if e.Type == serviceerror.TypeNotFound || e.Type == serviceerror.TypeService { // spelt so in these two
		body["Message"] = body["message"]
		delete(body, "message")
	}
	if e.Reason != "" {
		body["Reason"] = e.Reason
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", e.Type)
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(body)
}

// traceID passes the caller's on, or makes one that is not sampled.
func traceID(r *http.Request) string {
	if id := r.Header.Get("X-Amzn-Trace-Id"); id != "" {
		return id
	}
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), random(12), random(8))
}

func requestID() string {
	return fmt.Sprintf("%s-%s-4%s-a%s-%s", random(4), random(2), random(2)[1:], random(2)[1:], random(6))
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
