package environment

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Kinds of events.
const (
	invoke   = "INVOKE"
	shutdown = "SHUTDOWN"
)

// An extension has registered. Its fields are guarded by the boot's mu.
type extension struct {
	id       string
	name     string
	external bool // one of the configured processes, not a part of the runtime
	wants    map[string]bool
	waiting  int // calls of /event/next that wait
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

func invokeEvent(inv *invocation) event {
	return event{
		Type: invoke, DeadlineMs: inv.deadline.UnixMilli(), RequestID: inv.ID, ARN: inv.ARN,
		Tracing: &tracing{Type: "X-Amzn-Trace-Id", Value: inv.TraceID},
	}
}

func shutdownEvent(reason Reason, deadline time.Time) event {
	return event{Type: shutdown, DeadlineMs: deadline.UnixMilli(), Reason: reason}
}

// offer queues the event if the extension asked for its kind.
func (x *extension) offer(e event) {
	if x.wants[e.Type] {
		x.events = append(x.events, e)
	}
}

// idle says whether the extension has dealt with all events and asked for the next.
func (x *extension) idle() bool { return x.waiting > 0 && len(x.events) == 0 }

func (b *boot) externalLocked(name string) *extension {
	i := slices.IndexFunc(b.extensions, func(x *extension) bool { return x.external && x.name == name })
	if i < 0 {
		return nil
	}
	return b.extensions[i]
}

func (b *boot) register(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Events []string `json:"events"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestFormat", "register: "+err.Error())
		return
	}
	x := &extension{id: rand.Text(), name: r.Header.Get("Lambda-Extension-Name"), wants: map[string]bool{}}
	for _, kind := range body.Events {
		x.wants[kind] = true
	}
	if code, kind, message := b.admit(x); code != 0 {
		refuse(w, code, kind, message)
		return
	}
	w.Header().Set("Lambda-Extension-Identifier", x.id)
	writeJSON(w, http.StatusOK, map[string]string{
		"functionName": b.env.cfg.Function, "functionVersion": b.env.cfg.Version, "handler": b.env.cfg.Handler,
	})
}

// admit adds the extension, or says why not: the code is zero if it was added.
func (b *boot) admit(x *extension) (code int, kind, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x.external = slices.ContainsFunc(b.processes, func(c *child) bool { return c.extension && c.name == x.name })
	for kind := range x.wants {
		if kind != invoke && kind != shutdown {
			return http.StatusBadRequest, "Extension.InvalidEventType", fmt.Sprintf("unknown event type %q", kind)
		}
	}
	switch {
	case x.name == "":
		return http.StatusForbidden, "Extension.InvalidExtensionName", "Lambda-Extension-Name is missing"
	case b.ready:
		return http.StatusForbidden, "Extension.RegistrationClosed", "extensions register during init only"
	case slices.ContainsFunc(b.extensions, func(other *extension) bool { return other.name == x.name }):
		return http.StatusForbidden, "Extension.AlreadyRegistered", x.name + " has registered already"
	case !x.external && x.wants[shutdown]:
		return http.StatusForbidden, "ShutdownEventNotSupportedForInternalExtension", x.name + " is no configured extension: SHUTDOWN is not for it"
	}
	b.extensions = append(b.extensions, x)
	b.wakeLocked()
	return 0, "", ""
}

// caller finds the extension that sent the request, or refuses it.
func (b *boot) caller(w http.ResponseWriter, r *http.Request) *extension {
	id := r.Header.Get("Lambda-Extension-Identifier")
	if id == "" {
		refuse(w, http.StatusForbidden, "Extension.MissingExtensionIdentifier", "Lambda-Extension-Identifier is missing")
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.extensions {
		if x.id == id {
			return x
		}
	}
	refuse(w, http.StatusForbidden, "Extension.UnknownExtensionIdentifier", "no extension has this identifier")
	return nil
}

// nextEvent blocks until there is an event for the extension.
func (b *boot) nextEvent(w http.ResponseWriter, r *http.Request) {
	x := b.caller(w, r)
	if x == nil {
		return
	}
	b.update(func() { x.waiting++ })
	var e event
	err := b.wait(r.Context(), func() bool {
		if len(x.events) == 0 {
			return false
		}
		e, x.events = x.events[0], x.events[1:]
		x.waiting--
		return true
	})
	if err != nil { // the extension has gone
		b.update(func() { x.waiting-- })
		return
	}
	w.Header().Set("Lambda-Extension-Event-Identifier", rand.Text())
	writeJSON(w, http.StatusOK, e)
}

// extensionError ends the environment on an extension's own word.
func (b *boot) extensionError(otherwise string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := b.caller(w, r)
		if x == nil {
			return
		}
		body, err := readAnswer(w, r)
		if err != nil {
			return
		}
		accept(w)
		kind := errorType(r, "Lambda-Extension-Function-Error-Type", otherwise)
		b.fail(&Failure{Outcome: Crashed, Type: kind, Message: fmt.Sprintf("extension %s: %s", x.name, body)})
	}
}
