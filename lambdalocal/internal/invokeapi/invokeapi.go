// Package invokeapi is the HTTP front of Lambda's APIs as AWS SDKs call them: those that invoke functions, and those that
// describe them. Signatures are not checked.
package invokeapi

import (
	"encoding/base64"
	"net/http"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/account"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/code"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/request"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A Handler serves the APIs.
type Handler struct {
	Functions []*function.Function
	Account   *account.Account
	AccountID string
	Region    string
	Direct    func() string // address of the direct front end, http://host:port; empty: there is none
	Code      *code.Store
	Log       logrus.FieldLogger
}

// Register adds the APIs' routes.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", h.invoke)
	mux.HandleFunc("POST /2021-11-15/functions/{name}/response-streaming-invocations", h.stream)
	h.registerManagement(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		serviceerror.Send(w, serviceerror.New(serviceerror.TypeUnknown, "lambdalocal does not serve %s %s", r.Method, r.URL.Path))
	})
}

func (h *Handler) invoke(w http.ResponseWriter, r *http.Request) {
	c, err := h.call(r)
	w.Header().Set("X-Amzn-RequestId", c.inv.ID)
	if err == nil {
		err = h.answer(w, r, c)
	}
	if err != nil {
		h.refuse(w, r, c, err)
	}
}

// answer runs the call and answers it, unless that fails before the answer.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, c call) error {
	switch c.kind {
	case kindDryRun:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case kindEvent:
		c.inv.ClientContext = "" // Lambda passes it on to synchronous invocations only
		if err := c.function.Enqueue(c.target.version(), c.inv); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	result, err := c.function.Invoke(r.Context(), c.wanted())
	if err == nil {
		h.ended(c, result)
		sendResult(w, c, result)
	}
	return err
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, c call, err error) {
	if r.Context().Err() != nil {
		return // nobody to answer to; the invocation goes on
	}
	h.Log.WithError(err).WithField("request", c.inv.ID).Debug("invocation refused")
	serviceerror.Send(w, err)
}

func (h *Handler) ended(c call, result environment.Result) {
	h.Log.WithFields(logrus.Fields{"request": c.inv.ID, "outcome": result.Outcome, "duration": result.Duration}).Debug("invocation ended")
}

func sendResult(w http.ResponseWriter, c call, result environment.Result) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amz-Executed-Version", c.inv.Version)
	h.Set(request.TraceHeader, c.inv.TraceID)
	if result.Outcome != environment.Succeeded {
		h.Set("X-Amz-Function-Error", "Unhandled")
	}
	if c.tail { // the log's end is there when all have asked for the next event (assumed: tail-waits)
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.Tail))
	}
	_, _ = w.Write(result.Payload)
}
