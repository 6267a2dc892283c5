package environment

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/telemetry"
)

// A runtimeState is where the runtime stands, with Lambda's names, which its refusals quote.
type runtimeState string

const (
	runtimeStarted    runtimeState = "Started"
	runtimeInitError  runtimeState = "InitError"
	runtimeReady      runtimeState = "Ready"   // has asked for the next invocation
	runtimeRunning    runtimeState = "Running" // has it
	runtimeResponding runtimeState = "InvocationResponse"
	runtimeErring     runtimeState = "InvocationErrorResponse"
	runtimeAnswered   runtimeState = "RuntimeResponseSentState"
)

// handler serves the Runtime, Extensions and Telemetry APIs, and the metadata endpoint.
func (b *boot) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/ping", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pong") })
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", b.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", b.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", b.invocationError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", b.initError)
	mux.HandleFunc("GET "+metadataPath, b.metadata)
	mux.HandleFunc("POST /2020-01-01/extension/register", b.register)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", b.nextEvent)
	mux.HandleFunc("POST /2020-01-01/extension/init/error", b.extensionError(extensionInitError))
	mux.HandleFunc("POST /2020-01-01/extension/exit/error", b.extensionError(extensionExitError))
	if b.env.cfg.Managed() {
		mux.HandleFunc("PUT /2022-07-01/telemetry", b.subscribe(telemetry.Managed, "Telemetry"))
		return b.counted(mux)
	}
	mux.HandleFunc("PUT /2022-07-01/telemetry", b.subscribe(telemetry.Telemetry, "Telemetry"))
	mux.HandleFunc("PUT /2022-07-01/telemetry/{$}", b.subscribe(telemetry.Telemetry, "Telemetry"))
	mux.HandleFunc("PUT /2020-08-15/logs", b.subscribe(telemetry.Logs, "Logs"))
	return b.counted(mux)
}

// counted counts the handlers that run, so that stop can wait for them.
func (b *boot) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		closed := b.closed
		if !closed {
			b.ended.Add(1)
		}
		b.mu.Unlock()
		if closed {
			refuse(w, &refusal{http.StatusServiceUnavailable, "Sandbox.Closed", "the environment has ended"})
			return
		}
		defer b.ended.Done()
		next.ServeHTTP(w, r)
	})
}

// A refusal is how the APIs answer misuse.
type refusal struct {
	code          int
	kind, message string
}

func (r *refusal) Error() string { return r.kind + ": " + r.message }

func forbid(kind, format string, args ...any) *refusal {
	return &refusal{http.StatusForbidden, kind, fmt.Sprintf(format, args...)}
}

const transition = "State transition from %s to %s failed for %s. Error: State transition is not allowed"

func (b *boot) forbidTransitionLocked(to runtimeState) *refusal {
	return forbid("InvalidStateTransition", transition, b.runtime, to, "runtime")
}

// next blocks until there is an invocation.
func (b *boot) next(w http.ResponseWriter, r *http.Request) {
	inv, refused, err := b.take(r.Context())
	switch {
	case refused != nil:
		refuse(w, refused)
		return
	case err != nil: // the runtime has gone
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	for name, value := range map[string]string{
		"Lambda-Runtime-Aws-Request-Id":       inv.ID,
		"Lambda-Runtime-Deadline-Ms":          strconv.FormatInt(inv.deadline.UnixMilli(), 10),
		"Lambda-Runtime-Invoked-Function-Arn": inv.ARN,
		"Lambda-Runtime-Trace-Id":             inv.TraceID,
		"Lambda-Runtime-Client-Context":       inv.ClientContext,
		"Lambda-Runtime-Cognito-Identity":     inv.CognitoIdentity,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	_, _ = w.Write(inv.Payload)
}

// take waits for an invocation that no other call has taken. A runtime that asks again before it has answered gets the
// same invocation again.
func (b *boot) take(ctx context.Context) (*invocation, *refusal, error) {
	if b.env.cfg.Managed() {
		return b.takeBeside(ctx)
	}
	again, refused := b.ready()
	if again != nil || refused != nil {
		return again, refused, nil
	}
	var inv *invocation
	err := b.wait(ctx, func() bool {
		if b.inv == nil || b.inv.delivered {
			return false
		}
		inv = b.inv
		inv.delivered = true
		b.runtime = runtimeRunning
		b.waiting--
		return true
	})
	if err != nil {
		b.update(func() { b.waiting-- })
	}
	return inv, nil, err
}

// ready records that the runtime waits, unless it has an invocation to answer already, or must not ask now.
func (b *boot) ready() (again *invocation, refused *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.runtime {
	case runtimeRunning:
		if b.inv != nil {
			return b.inv, nil
		}
	case runtimeStarted, runtimeReady, runtimeAnswered:
		b.runtime = runtimeReady
	default:
		return nil, b.forbidTransitionLocked(runtimeReady)
	}
	b.waiting++
	b.wakeLocked()
	return nil, nil
}

// enter changes the runtime's state with the invocation that the call names, or refuses the call.
func (b *boot) enter(r *http.Request, to runtimeState) (*invocation, *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.env.cfg.Managed() {
		return b.enterBesideLocked(r.PathValue("id"), to)
	}
	if b.inv == nil || b.inv.ID != r.PathValue("id") {
		return nil, &refusal{http.StatusBadRequest, "InvalidRequestID", "Invalid request ID"}
	}
	if b.runtime != runtimeRunning {
		return nil, b.forbidTransitionLocked(to)
	}
	b.runtime = to
	return b.inv, nil
}

func (b *boot) initError(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r, maxAnswer)
	if !ok {
		return
	}
	if refused := b.enterInitError(); refused != nil {
		refuse(w, refused)
		return
	}
	kind := functionErrorType(r.Header.Get(errorTypeHeader))
	b.failBy(w, &Failure{Outcome: InitFailed, Type: kind, Message: "init failed: " + string(body), Body: body})
}

func (b *boot) enterInitError() *refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.runtime != runtimeStarted {
		return b.forbidTransitionLocked(runtimeInitError)
	}
	b.runtime = runtimeInitError
	return nil
}

const errorTypeHeader = "Lambda-Runtime-Function-Error-Type"

var knownErrorType = regexp.MustCompile(`(Runtime|Function)\.[A-Z][a-zA-Z]+`)

// functionErrorType is the type in reports of an error to which the runtime gave this type. The caller gets the type in the error's
// body.
func functionErrorType(word string) string {
	switch {
	case knownErrorType.MatchString(word):
		return word
	case strings.HasPrefix(word, "Function."):
		return "Function.Unknown"
	default:
		return "Runtime.Unknown"
	}
}
