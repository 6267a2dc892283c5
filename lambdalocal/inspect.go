package lambdalocal

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// An Environment describes one execution environment at one moment.
type Environment = function.Snapshot

// A State of an environment.
type State = function.State

// The states of an environment. It is frozen, and idle, between invocations.
const (
	StateInit     = function.Init
	StateBusy     = function.Busy
	StateFrozen   = function.Frozen
	StateStopping = function.Stopping
)

// Counters count a function's invocations since the start.
type Counters = function.Counters

// EventCounters count asynchronous invocations, in Counters.
type EventCounters = function.EventCounters

// An Outcome says how an invocation ended.
type Outcome = environment.Outcome

// The outcomes, keys of Counters.Outcomes.
const (
	Succeeded   = environment.Succeeded
	Errored     = environment.Errored
	InitFailed  = environment.InitFailed
	Crashed     = environment.Crashed
	TimedOut    = environment.TimedOut
	Interrupted = environment.Interrupted
)

// A Drop says why an asynchronous invocation was given up.
type Drop = function.Drop

// The drops, keys of Counters.Events.Dropped.
const (
	DropRetries  = function.DropRetries
	DropAge      = function.DropAge
	DropFull     = function.DropFull
	DropShutdown = function.DropShutdown
)

// A Statement is the bill of all functions.
type Statement = ledger.Statement

// An Account is the bill of one function, in a Statement.
type Account = ledger.Account

// Ledger returns the bill of the invocations that have ended.
func (s *Server) Ledger() Statement { return s.ledger.Statement() }

// A Fault makes the Invoke API refuse invocations of a function.
type Fault struct {
	// Error is the type of the service error: TooManyRequestsException, AccessDeniedException, ResourceNotFoundException,
	// ServiceException and so on. Empty: no fault.
	Error   string
	Message string // empty: a text that names the fault
	Reason  string // of a TooManyRequestsException; empty: the function's limit
	Times   int    // how many invocations it refuses; zero: all, until another SetFault
}

// Environments describes all that exist, by function in the configuration's order, then by id.
func (s *Server) Environments() []Environment {
	list := []Environment{}
	for _, name := range s.names {
		list = append(list, s.functions[name].Environments()...)
	}
	return list
}

// Counters returns the function's, zero for a function that does not exist.
func (s *Server) Counters(function string) Counters {
	if f := s.functions[function]; f != nil {
		return f.Counters()
	}
	return Counters{}
}

// Kill ends all processes of an environment at once, as a broken host would, and does not wait for it. It is false if
// there is no such environment.
func (s *Server) Kill(environmentID string) bool {
	return s.any(func(f *function.Function) bool { return f.Kill(environmentID) })
}

// Retire shuts an environment down as at the end of its idle time (SHUTDOWN event, SIGTERM, grace time), even during an
// invocation, which may still be answered in the grace time, and does not wait for it. It is false if there is no such environment.
func (s *Server) Retire(environmentID string) bool {
	return s.any(func(f *function.Function) bool { return f.Retire(environmentID) })
}

func (s *Server) any(do func(*function.Function) bool) bool {
	for _, f := range s.functions {
		if do(f) {
			return true
		}
	}
	return false
}

// SetFault replaces the function's fault; the zero Fault removes it.
func (s *Server) SetFault(functionName string, fault Fault) error {
	f := s.functions[functionName]
	switch {
	case f == nil:
		return fmt.Errorf("set fault: no function %q", functionName)
	case fault.Error == "":
		f.SetFault(function.Fault{})
		return nil
	case !serviceerror.Known(fault.Error):
		return fmt.Errorf("set fault: unknown service error %q", fault.Error)
	}
	f.SetFault(function.Fault{Error: fault.serviceError(), Times: fault.Times})
	return nil
}

func (fault Fault) serviceError() *serviceerror.Error {
	e := serviceerror.New(fault.Error, "%s by a fault that was set", fault.Error)
	if fault.Error == serviceerror.TypeThrottled {
		e = serviceerror.Throttled(serviceerror.ReasonFunctionLimit)
	}
	if fault.Message != "" {
		e.Message = fault.Message
	}
	if fault.Reason != "" {
		e.Reason = fault.Reason
	}
	return e
}

// registerInspection adds what a person, or a script, may ask.
func (s *Server) registerInspection(mux *http.ServeMux) {
	mux.HandleFunc("GET /lambdalocal/environments", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, s.Environments())
	})
	mux.HandleFunc("GET /lambdalocal/functions", func(w http.ResponseWriter, _ *http.Request) {
		all := map[string]Counters{}
		for _, name := range s.names {
			all[name] = s.Counters(name)
		}
		writeJSON(w, all)
	})
	mux.HandleFunc("GET /lambdalocal/ledger", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Ledger()) })
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body)
}
