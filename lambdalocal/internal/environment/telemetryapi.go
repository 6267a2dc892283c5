package environment

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/telemetry"
)

// subscribe serves the Telemetry API, or the Logs API under that name.
func (b *boot) subscribe(api telemetry.API, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x, refused := b.caller(r)
		if refused != nil {
			refuse(w, refused)
			return
		}
		body, ok := readBody(w, r, maxRequest)
		if !ok {
			return
		}
		if b.isInitOver() {
			refuse(w, forbid(name+".SubscriptionClosed", "%s API subscription is closed already", name))
			return
		}
		s, err := api.Parse(body)
		if err != nil {
			refuse(w, &refusal{http.StatusBadRequest, "ValidationError", err.Error()})
			return
		}
		if err := b.subscribed(x, s, strings.ToLower(name)); err != nil {
			refuse(w, forbid(name+".SubscriptionClosed", "%v", err))
			return
		}
		writeJSON(w, http.StatusOK, "OK")
	}
}

// subscribed starts deliveries, unless the extension has some, and tells of it.
func (b *boot) subscribed(x *extension, s telemetry.Subscription, name string) error {
	added, err := b.events.Subscribe(x.name, s)
	if err != nil {
		return err
	}
	state := "Already subscribed"
	if added {
		state = "Subscribed"
	}
	b.env.line("platform", fmt.Sprintf("%s\tName: %s\tState: %s\tTypes: [%s]", strings.ToUpper(name), x.name, state, strings.Join(s.Types, ", ")))
	b.events.Emit("platform."+name+"Subscription", map[string]any{"name": x.name, "state": state, "types": s.Types})
	return nil
}

func (b *boot) isInitOver() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.initOver
}

// announceExtensions writes to the log, and to all subscribers, which extensions there are.
func (b *boot) announceExtensions() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.extensions {
		b.env.line("platform", fmt.Sprintf("EXTENSION\tName: %s\tState: %s\tEvents: [%s]", x.name, x.state, strings.Join(x.wants, ", ")))
		b.events.Emit("platform.extension", map[string]any{"name": x.name, "state": x.state, "events": x.wants})
	}
}

// millis is a duration as telemetry has it: milliseconds with three decimals.
type millis float64

func asMillis(d time.Duration) millis { return millis(math.Round(milliseconds(d)*1000) / 1000) }

type initStartRecord struct {
	InitializationType string `json:"initializationType"`
	Phase              string `json:"phase"`
	FunctionName       string `json:"functionName"`
	FunctionVersion    string `json:"functionVersion"`
	InstanceID         string `json:"instanceId"`
	InstanceMaxMemory  int    `json:"instanceMaxMemory"` // bytes
}

func (e *Environment) initStart(phase string) initStartRecord {
	return initStartRecord{
		InitializationType: e.cfg.initializationType(), Phase: phase, FunctionName: e.cfg.Function, FunctionVersion: e.cfg.Version,
		InstanceID: e.id, InstanceMaxMemory: e.cfg.MemoryMB << 20,
	}
}

type initDoneRecord struct {
	InitializationType string            `json:"initializationType"`
	Phase              string            `json:"phase"`
	Status             string            `json:"status"`
	ErrorType          string            `json:"errorType,omitempty"`
	Metrics            map[string]millis `json:"metrics,omitempty"`
}

// initDone is the record of initRuntimeDone and, with a duration, of initReport.
func (e *Environment) initDone(phase string, err error, took *time.Duration) initDoneRecord {
	r := initDoneRecord{InitializationType: e.cfg.initializationType(), Phase: phase, Status: "success"}
	if err != nil {
		f := e.asFailure(err)
		r.Status, r.ErrorType = statusWord(f.Outcome, f.Type)
	}
	if took != nil {
		r.Metrics = map[string]millis{"durationMs": asMillis(*took)}
	}
	return r
}

// statusWord is the telemetry's status for an outcome, with the type of the error. A timeout has no type.
func statusWord(outcome Outcome, errorType string) (status, kind string) {
	switch {
	case outcome == Succeeded:
		return "success", ""
	case errorType == sandboxTimedout:
		return "timeout", ""
	case strings.HasPrefix(errorType, "Sandbox."):
		return "failure", errorType
	default:
		return "error", errorType
	}
}

func startRecord(inv *invocation) map[string]any {
	return map[string]any{"requestId": inv.ID, "version": inv.Version, "tracing": inv.tracing()}
}

type invokeDoneRecord struct {
	RequestID string         `json:"requestId"`
	Status    string         `json:"status"`
	ErrorType string         `json:"errorType,omitempty"`
	Metrics   map[string]any `json:"metrics"`
	Tracing   *tracing       `json:"tracing,omitempty"`
	Spans     []span         `json:"spans,omitempty"`
}

type span struct {
	Name  string `json:"name"`
	Start string `json:"start"`
	Took  millis `json:"durationMs"`
}

// runtimeDone is the record of platform.runtimeDone.
func (b *boot) runtimeDone(inv *invocation, a *answer, err error) invokeDoneRecord {
	var r Result
	if err != nil {
		f := b.env.asFailure(err)
		r.Outcome, r.ErrorType = f.Outcome, f.Type
	} else {
		r = a.result()
	}
	status, kind := statusWord(r.Outcome, r.ErrorType)
	b.mu.Lock()
	defer b.mu.Unlock()
	inv.done = time.Now()
	took := time.Duration(0)
	if !inv.offered.IsZero() {
		took = inv.done.Sub(inv.offered)
	}
	record := invokeDoneRecord{
		RequestID: inv.ID, Status: status, ErrorType: kind, Tracing: inv.tracing(),
		Metrics: map[string]any{"durationMs": asMillis(took), "producedBytes": inv.produced},
	}
	if inv.answer != nil {
		record.Spans = []span{
			spanOf("responseLatency", inv.offered, inv.responded),
			spanOf("responseDuration", inv.responded, inv.answered),
			spanOf("runtimeOverhead", inv.answered, inv.done),
		}
	}
	return record
}

func spanOf(name string, from, to time.Time) span {
	return span{Name: name, Start: from.UTC().Format("2006-01-02T15:04:05.000Z"), Took: asMillis(to.Sub(from))}
}

// reportRecord is the record of platform.report.
func (e *Environment) reportRecord(inv *invocation, r *Result) invokeDoneRecord {
	status, kind := statusWord(r.Outcome, r.ErrorType)
	metrics := map[string]any{
		"durationMs": asMillis(r.Duration), "billedDurationMs": r.Billed.Milliseconds(),
		"memorySizeMB": e.cfg.MemoryMB, "maxMemoryUsedMB": megabytes(r.MaxMemory),
	}
	if r.Init > 0 {
		metrics["initDurationMs"] = asMillis(r.Init)
	}
	record := invokeDoneRecord{RequestID: inv.ID, Status: status, ErrorType: kind, Metrics: metrics, Tracing: inv.tracing()}
	if !inv.idle.IsZero() {
		record.Spans = []span{spanOf("extensionOverhead", inv.done, inv.idle)}
	}
	return record
}
