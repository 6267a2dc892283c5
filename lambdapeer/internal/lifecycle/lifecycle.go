// Package lifecycle runs an environment, which serves one instance after the other: as a Lambda runtime, or registering by itself.
package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/backoff"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/serial"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// answerLimit bounds a call that answers an invocation.
const answerLimit = 2 * time.Second

// An Environment serves instances, one after the other. Its fields are not changed while it runs.
type Environment struct {
	ID      string
	Version string // of the function's code, as ReadVersion returns it
	// LogStream is the function's log stream, as ReadLogStream returns it.
	LogStream string
	Handler   http.Handler
	Logger    *slog.Logger
	// Trust says which invocations are obeyed.
	Trust trust.Policy
	// FunctionName is the function's name in Lambda; empty elsewhere.
	FunctionName string
	// Events say how events are handled that are not of Lambda Dispatch, as ReadEvents returns them.
	Events Events
	// Ready blocks until the app can take requests. Meanwhile it calls say with what it waits for, when that changes. An error
	// ends the instance as unhealthy. Nil: the app can always take requests.
	Ready func(ctx context.Context, say func(what string)) error
	// Wear watches the environment, in Lambda. Nil: it is not watched.
	Wear *wear.Gauge
	// Hooks tell the app about freezes, in Lambda.
	Hooks Hooks
	// Settle is called after each instance and event, before the environment may be frozen. Nil: it is not called.
	Settle func()
	// Signal asks Lambda for SIGTERM at the end, which it sends to runtimes only if they ask.
	Signal bool
	// ShutdownLimit is how long a drain may take when the context ends; 0: as long as any drain.
	ShutdownLimit time.Duration

	// Workers is how many invocations to ask for at once, as ReadWorkers returns it. 0: one, which may make an instance.
	Workers int

	managed bool // one of several workers
	served  bool // an instance has been served
	worn    bool // the environment ends with the invocation that it has just answered
	asleep  bool // the app was told about a freeze, and not yet about a thaw
	watch   *serial.Watch
}

// watched returns the watch on the app's requests, which lasts over all instances.
func (e *Environment) watched() *serial.Watch {
	if e.watch == nil {
		e.watch = serial.New()
		if e.Wear.Small() {
			e.watch.Small()
		}
	}
	return e.watch
}

// RunLambda serves the invocations of the Runtime API. It returns nil when ctx ends or the environment is worn, and an error if the
// API fails. After a worn environment the process must end, so that Lambda makes a new one. Cancel ctx with an *instance.Stop for a
// reason other than a shutdown.
func (e *Environment) RunLambda(ctx context.Context, api *runtimeapi.Client) error {
	if e.Trust.Blind() {
		e.Logger.Warn("everyone who may invoke this function can make it serve any relay", "set", trust.PublicKeyVar+" or "+trust.RelaysVar)
	}
	if e.Signal {
		if err := api.RegisterRuntime(ctx); err != nil && ctx.Err() == nil {
			e.Logger.Warn("Lambda will end this environment without a warning", "error", err)
		}
	}
	if e.Workers > 0 {
		return e.runManaged(ctx, api)
	}
	return e.work(ctx, api)
}

// work serves one invocation after the other.
func (e *Environment) work(ctx context.Context, api *runtimeapi.Client) error {
	for ctx.Err() == nil {
		event, err := api.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		switch err := e.answer(ctx, api, event); {
		case err != nil && ctx.Err() != nil:
			e.Logger.Warn("invocation not answered: the environment ends, as when the app has ended", "error", err)
		case err != nil:
			e.Logger.Error("invocation not answered", "error", err) // it may have timed out; the next one can succeed
		}
		if e.worn {
			e.Logger.Info("environment worn: it ends")
			return nil
		}
	}
	return nil
}

// answer answers one invocation. If it is ours, the app is told about the freeze before the answer, because that says that the
// environment is free. For any other event it is told after the answer, so that the sender need not wait for it.
func (e *Environment) answer(ctx context.Context, api *runtimeapi.Client, event runtimeapi.Event) error {
	body, ours, err := e.respond(ctx, api, event)
	if ours {
		e.rest(ctx, event.Deadline)
	} else {
		defer e.rest(ctx, event.Deadline)
	}
	if errors.Is(err, errStreamed) {
		return nil
	}
	answering, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
	defer cancel()
	if err == nil {
		return api.Respond(answering, event.ID, body)
	}
	e.Logger.Warn("invocation failed", "error", err)
	return api.Fail(answering, event.ID, runtimeapi.Failure{Type: failureType(err), Message: err.Error()})
}

// respond serves an invocation of ours, or lets the app answer any other event, and returns the invocation's answer.
func (e *Environment) respond(ctx context.Context, api *runtimeapi.Client, event runtimeapi.Event) (body []byte, ours bool, err error) {
	inv, err := e.Trust.Open(event.Payload, e.audiences(event.ARN), false, time.Now())
	switch {
	case errors.Is(err, wire.ErrNotOurs):
		body, err = e.forward(ctx, api, event)
		return body, false, err
	case err != nil:
		return nil, true, err
	case e.managed:
		return nil, true, errManaged
	}
	body, err = json.Marshal(e.serve(ctx, inv, event.ID, event.Deadline))
	return body, true, err
}

// dispatched is the handler of requests that come through a relay. It removes headers that only events may have, because a client
// may have set them.
func (e *Environment) dispatched() http.Handler {
	if !e.Events.Context {
		return e.Handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events.Conceal(r.Header)
		e.Handler.ServeHTTP(w, r)
	})
}

// audiences are the names that a signature may have for this function.
func (e *Environment) audiences(arn string) []string {
	out := []string{signature.Lambda(e.FunctionName)}
	if a := signature.ARN(arn); a != "" {
		out = append(out, a)
	}
	return out
}

func failureType(err error) string {
	var version *wire.VersionError
	var disobeyed *trust.Error
	var foreign *events.Error
	switch {
	case errors.As(err, &foreign):
		return foreign.Type
	case errors.As(err, &disobeyed):
		return "LambdaDispatch.Untrusted"
	case errors.As(err, &version):
		return "LambdaDispatch.Version"
	default:
		return "LambdaDispatch.InvalidInvocation"
	}
}

// serve serves one instance to its end. If the control plane understands an early hello, the instance waits for the app; otherwise
// serve waits first. request is Lambda's id of the invocation; empty: the environment has registered by itself.
func (e *Environment) serve(ctx context.Context, inv wire.Invocation, request string, deadline time.Time) wire.Report {
	c := instance.Config{
		Invocation: inv, Relays: e.Trust.Relays, Features: e.Trust.Features(), Deadline: deadline,
		Environment: e.ID, Version: e.Version, RequestID: fitting(request), LogStream: e.LogStream, Cold: !e.served, Watch: e.watched(),
		Handler: e.dispatched(), Logger: e.Logger, ShutdownLimit: e.ShutdownLimit, Registered: request == "",
	}
	e.served = true
	if inv.Features.Has(wire.FeatureWear) && !deadline.IsZero() {
		c.Wear = e.Wear
	}
	report, ready, wait := wire.Report{}, true, e.ready(deadline)
	if inv.Features.Has(wire.FeatureEarlyHello) {
		c.Ready = wait
	} else {
		report, ready = awaitReady(ctx, wait, inv, deadline)
	}
	if ready {
		report = instance.Serve(ctx, c)
	}
	e.worn = report.Worn != ""
	e.Logger.Info("instance ended", "instance", inv.Instance, "environment", e.ID, "reason", report.Reason, "detail", report.Detail,
		"requests", report.Requests, "refused", report.Refused, "served", report.Served.Duration())
	return report
}

// awaitReady waits for the app for as long as the instance would serve. If the app does not become ready, it returns the report.
func awaitReady(
	ctx context.Context, wait func(context.Context, func(string)) error, inv wire.Invocation, deadline time.Time,
) (wire.Report, bool) {
	if wait == nil {
		return wire.Report{}, true
	}
	waiting := ctx
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadlineCause(ctx, instance.DrainAt(inv, deadline, time.Now()),
			errors.New("the app was not ready when the invocation's deadline came near"))
		defer cancel()
	}
	err := wait(waiting, unheard)
	if err == nil {
		return wire.Report{}, true
	}
	report := wire.Report{
		Version: wire.Version, Instance: inv.Instance,
		Reason: wire.ReasonAppUnhealthy, Detail: wire.CutDetail(err.Error()),
	}
	var stop *instance.Stop
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &stop):
		report.Reason, report.Detail = stop.Reason, wire.CutDetail(stop.Detail)
	case cause != nil:
		report.Reason = wire.ReasonShutdown
	}
	return report, false
}

// unheard ignores what the app waits for.
func unheard(string) {}

// RunStatic registers and serves repeatedly until ctx ends. It always returns nil.
func (e *Environment) RunStatic(ctx context.Context, r *Registrar) error {
	if e.Trust.Blind() && !r.secure() {
		e.Logger.Warn("the relay does not authenticate itself: everyone who answers in its place can make this peer serve any other relay",
			"set", RelayVar+" to https, or "+trust.PublicKeyVar)
	}
	pause := backoff.Backoff{Least: 250 * time.Millisecond, Most: 30 * time.Second, Steady: 10 * time.Second}
	for ctx.Err() == nil {
		if e.Ready != nil {
			if err := e.Ready(ctx, unheard); err != nil && ctx.Err() == nil {
				e.Logger.Warn("app not ready", "error", err)
				pause.Sleep(ctx)
				continue
			}
		}
		began := time.Now()
		if inv, err := r.register(ctx, e.ID, e.Trust, e.Logger); err == nil {
			e.Logger.Info("registered", "instance", inv.Instance, "function", inv.Function)
			e.serve(ctx, inv, "", time.Time{})
			e.settle()
		} else if ctx.Err() == nil {
			e.Logger.Warn("registration failed", "error", err)
		}
		pause.Stood(time.Since(began))
		pause.Sleep(ctx)
	}
	return nil
}
