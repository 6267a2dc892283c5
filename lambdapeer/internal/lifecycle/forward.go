package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
)

// errStreamed says that an invocation's answer was streamed.
var errStreamed = errors.New("answered")

// forward lets the app answer an event that is not of Lambda Dispatch, as one HTTP request. The error is errStreamed if the answer
// was already sent.
func (e *Environment) forward(ctx context.Context, api *runtimeapi.Client, event runtimeapi.Event) ([]byte, error) {
	e.served = true
	foreign, err := events.Decode(events.Invocation{
		Payload: event.Payload, RequestID: event.ID, TraceID: event.TraceID, ARN: event.ARN, Deadline: event.Deadline,
		ClientContext: event.ClientContext, Identity: event.Identity,
	}, e.Events.Options)
	if err != nil {
		return nil, err
	}
	e.Logger.Debug("event", "kind", foreign.Kind, "method", foreign.Request.Method, "path", foreign.Request.URL.Path)
	ctx, cancel := e.lasting(ctx, event.Deadline)
	defer cancel()
	if wait := e.ready(event.Deadline); wait != nil {
		if err := wait(ctx, unheard); err != nil {
			return nil, &events.Error{Type: "LambdaDispatch.AppUnhealthy", Message: err.Error()}
		}
	}
	var body []byte
	streamed := false
	err = instance.Exchange(ctx, e.Handler, e.ID, e.Logger, foreign.Request, func(res *http.Response) (err error) {
		if streamed = e.Events.Stream && foreign.Streams; streamed {
			return e.stream(ctx, api, event.ID, res)
		}
		body, err = foreign.Answer(res)
		return err
	})
	if streamed {
		if err != nil {
			e.Logger.Warn("streamed answer is incomplete", "error", err)
		}
		return nil, errStreamed
	}
	return body, explain(ctx, err)
}

// stream answers with what the app writes, as it comes. An error after the beginning is reported at the end of the answer.
func (e *Environment) stream(ctx context.Context, api *runtimeapi.Client, id string, res *http.Response) error {
	body := io.MultiReader(bytes.NewReader(events.Prelude(res)), res.Body)
	answering, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the end of ctx ends the body
	defer cancel()
	return api.Stream(answering, id, events.StreamType, body, func(err error) runtimeapi.Failure {
		cut := &events.Error{Type: "LambdaDispatch.AnswerCutShort", Message: fmt.Sprintf("the app's answer ended early: %v", err)}
		return runtimeapi.Failure{Type: cut.Type, Message: explain(ctx, cut).Error()}
	})
}

// explain makes an *events.Error of the reason why an event has no answer. What the deadline has cut off may look like a broken
// connection, so the error names the deadline.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	failed := &events.Error{Type: "LambdaDispatch.NoAnswer", Message: fmt.Sprintf("the app did not answer: %v", err)}
	errors.As(err, &failed)
	if context.Cause(ctx) == errNoTime && !strings.Contains(failed.Message, errNoTime.Error()) {
		failed.Message += ": " + errNoTime.Error()
	}
	return failed
}

// errNoTime is the cause when a request ends because of its invocation's deadline.
var errNoTime = errors.New("the invocation's deadline is near")

// lasting returns a context that ends just before the invocation's deadline, so that there is time to report an error. It outlives
// ctx by the shutdown limit.
func (e *Environment) lasting(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	lasting := context.WithoutCancel(ctx)
	var cancel context.CancelFunc
	if deadline.IsZero() {
		lasting, cancel = context.WithCancel(lasting)
	} else {
		lasting, cancel = context.WithDeadlineCause(lasting, instance.AnswerBy(deadline, time.Now()), errNoTime)
	}
	if e.ShutdownLimit == 0 {
		return lasting, cancel
	}
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(e.ShutdownLimit, cancel) })
	return lasting, func() { stop(); cancel() }
}
