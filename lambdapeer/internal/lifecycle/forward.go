package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
)

// EventPathVar says where events that are no HTTP requests go.
const EventPathVar = "LAMBDA_DISPATCH_PEER_EVENT_PATH"

// ReadEventPath reads EventPathVar.
func ReadEventPath(getenv func(string) string) (string, error) {
	path := getenv(EventPathVar)
	switch {
	case path == "":
		return events.DefaultPath, nil
	case !strings.HasPrefix(path, "/"):
		return "", fmt.Errorf("%s: %q does not begin with /", EventPathVar, path)
	}
	return path, nil
}

// forward has the app answer an event that is not of Lambda Dispatch, as one HTTP request.
func (e *Environment) forward(ctx context.Context, event runtimeapi.Event) ([]byte, error) {
	e.served = true
	foreign, err := events.Decode(events.Invocation{Payload: event.Payload, RequestID: event.ID, TraceID: event.TraceID}, e.EventPath)
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
	err = instance.Exchange(ctx, e.Handler, e.ID, e.Logger, foreign.Request, func(res *http.Response) (err error) {
		body, err = foreign.Answer(res)
		return err
	})
	return body, explain(ctx, err)
}

// explain makes an *events.Error of what kept an event from its answer. What the deadline cut off may look like a broken
// connection, so the deadline is named.
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

// errNoTime ends what an event waits for.
var errNoTime = errors.New("the invocation's deadline is near")

// lasting returns a context that ends just before the invocation's deadline, so that what has gone wrong can be told in
// time, and outlives ctx by the shutdown limit.
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
