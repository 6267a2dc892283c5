package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// Kinds of events.
const (
	invoke   = "INVOKE"
	shutdown = "SHUTDOWN"
)

const (
	maxExtensions      = 10
	maxRequest         = 64 << 10 // bytes of a body
	identifierHeader   = "Lambda-Extension-Identifier"
	extensionErrorType = "Lambda-Extension-Function-Error-Type"
)

// An extensionState is where an extension stands, with Lambda's names.
type extensionState string

const (
	extensionRegistered extensionState = "Registered"
	extensionReady      extensionState = "Ready" // waits for an event
	extensionRunning    extensionState = "Running"
	extensionInitError  extensionState = "InitError"
	extensionExitError  extensionState = "ExitError"
)

// An extension has registered. Its fields are guarded by the boot's mu.
type extension struct {
	id       string
	name     string
	external bool // one of the configured processes, not a part of the runtime
	wants    []string
	state    extensionState
	events   []event
}

// An event in the Extensions API's JSON.
type event struct {
	Type       string   `json:"eventType"`
	DeadlineMs int64    `json:"deadlineMs"`
	RequestID  string   `json:"requestId,omitempty"`
	ARN        string   `json:"invokedFunctionArn,omitempty"`
	Tracing    *tracing `json:"tracing,omitempty"`
	Reason     Reason   `json:"shutdownReason,omitempty"`
}

type tracing struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

func (inv *invocation) tracing() *tracing {
	return &tracing{Type: "X-Amzn-Trace-Id", Value: inv.TraceID}
}

func invokeEvent(inv *invocation) event {
	return event{Type: invoke, DeadlineMs: inv.deadline.UnixMilli(), RequestID: inv.ID, ARN: inv.ARN, Tracing: inv.tracing()}
}

func shutdownEvent(reason Reason, deadline time.Time) event {
	return event{Type: shutdown, DeadlineMs: deadline.UnixMilli(), Reason: reason}
}

// offer queues the event if the extension asked for its kind.
func (x *extension) offer(e event) {
	if slices.Contains(x.wants, e.Type) {
		x.events = append(x.events, e)
	}
}

// idle says whether the extension has dealt with all events and asked for the next.
func (x *extension) idle() bool { return x.state == extensionReady && len(x.events) == 0 }

// move changes the state if it is one of those given.
func (x *extension) move(to extensionState, from ...extensionState) *refusal {
	if !slices.Contains(from, x.state) {
		return forbid("Extension.InvalidExtensionState", transition, x.state, to, "extension "+x.id)
	}
	x.state = to
	return nil
}

func (b *boot) externalLocked(name string) *extension {
	i := slices.IndexFunc(b.extensions, func(x *extension) bool { return x.external && x.name == name })
	if i < 0 {
		return nil
	}
	return b.extensions[i]
}

// registration is the body of a call of /extension/register.
type registration struct {
	Events            []string `json:"events"`
	ConfigurationKeys []string `json:"configurationKeys"`
}

func (b *boot) register(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r, maxRequest)
	if !ok {
		return
	}
	x, refused := b.admit(r.Header.Get("Lambda-Extension-Name"), body)
	if refused != nil {
		refuse(w, refused)
		return
	}
	answer := map[string]string{
		"functionName": b.env.cfg.Function, "functionVersion": b.env.cfg.Version, "handler": b.env.cfg.Handler,
	}
	for feature := range strings.SplitSeq(r.Header.Get("Lambda-Extension-Accept-Feature"), ",") {
		if strings.TrimSpace(feature) == "accountId" {
			answer["accountId"] = b.env.cfg.Account
		}
	}
	w.Header().Set(identifierHeader, x.id)
	writeJSON(w, http.StatusOK, answer)
}

// admit adds an extension, or says why not.
func (b *boot) admit(name string, body []byte) (*extension, *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == "" {
		return nil, forbid("Extension.InvalidExtensionName", "Empty extension name")
	}
	var wanted registration
	err := json.Unmarshal(body, &wanted)
	if err == nil && len(wanted.ConfigurationKeys) > 0 {
		err = errors.New("configurationKeys are deprecated; use environment variables instead")
	}
	if err != nil {
		return nil, forbid("InvalidRequestFormat", "%v", err)
	}
	external := slices.ContainsFunc(b.processes, func(c *child) bool { return c.kind == extern && c.name == name })
	x := &extension{id: uuid.New(), name: name, external: external, wants: wanted.Events, state: extensionRegistered}
	if refused := b.refusalLocked(x); refused != nil {
		return nil, refused
	}
	b.extensions = append(b.extensions, x)
	b.wakeLocked()
	return x, nil
}

func (b *boot) refusalLocked(x *extension) *refusal {
	if b.env.cfg.Managed() {
		if refused := x.refusedBeside(); refused != nil {
			return refused
		}
	}
	for _, kind := range x.wants {
		switch {
		case kind != invoke && kind != shutdown:
			return forbid("Extension.InvalidEventType", "%s: ErrorInvalidEventType", kind)
		case kind == shutdown && !x.external:
			return forbid("Extension.InvalidEventType", "%s: ShutdownEventNotSupportedForInternalExtension", kind)
		}
	}
	for _, other := range b.extensions {
		switch {
		case other.name == x.name && x.external:
			return forbid("Extension.InvalidExtensionState", transition, other.state, extensionRegistered, "extension "+x.name)
		case other.name == x.name:
			return forbid("Extension.InvalidExtensionState", "Extension with this name already registered")
		}
	}
	switch {
	case b.initOver:
		return forbid("Extension.RegistrationClosed", "Extension registration closed already")
	case len(b.extensions) >= maxExtensions:
		return forbid("Extension.TooManyExtensions", "Extension limit (%d) reached", maxExtensions)
	}
	return nil
}

// caller finds the extension that sent the request.
func (b *boot) caller(r *http.Request) (*extension, *refusal) {
	id := r.Header.Get(identifierHeader)
	switch {
	case id == "":
		return nil, forbid("Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
	case !uuid.Valid(id):
		return nil, forbid("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.extensions {
		if x.id == id {
			return x, nil
		}
	}
	return nil, forbid("Extension.UnknownExtensionIdentifier", "Unknown extension %s", id)
}

// nextEvent blocks until there is an event for the extension.
func (b *boot) nextEvent(w http.ResponseWriter, r *http.Request) {
	x, refused := b.caller(r)
	if refused == nil {
		b.update(func() { refused = x.move(extensionReady, extensionRegistered, extensionRunning) })
	}
	if refused != nil {
		refuse(w, refused)
		return
	}
	var e event
	err := b.wait(r.Context(), func() bool {
		if len(x.events) == 0 {
			return false
		}
		e, x.events = x.events[0], x.events[1:]
		x.state = extensionRunning
		return true
	})
	if err != nil { // the extension has gone, or will ask again
		b.update(func() { _ = x.move(extensionRunning, extensionReady) })
		return
	}
	w.Header().Set("Lambda-Extension-Event-Identifier", uuid.New())
	writeJSON(w, http.StatusOK, e)
}

// extensionError ends the environment because an extension reports an error of its own.
func (b *boot) extensionError(to extensionState) http.HandlerFunc {
	from := []extensionState{extensionRegistered, extensionInitError}
	if to == extensionExitError {
		from = []extensionState{extensionRegistered, extensionReady, extensionRunning, extensionExitError}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		x, refused := b.caller(r)
		kind := r.Header.Get(extensionErrorType)
		if refused == nil && kind == "" {
			refused = forbid("Extension.MissingHeader", "%s not found", extensionErrorType)
		}
		if refused == nil {
			b.update(func() { refused = x.move(to, from...) })
		}
		if refused != nil {
			refuse(w, refused)
			return
		}
		b.failBy(w, &Failure{
			Outcome: Crashed, Type: "Extension." + string(to), Message: fmt.Sprintf("extension %s: %s", x.name, kind),
		})
	}
}
