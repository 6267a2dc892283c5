package lambdalocal

import (
	"encoding/json"
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
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
	StateReady    = function.Ready // on Managed Instances
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
	DropGone     = function.DropGone
	DropReserved = function.DropReserved
	DropShutdown = function.DropShutdown
)

// A Statement is the bill of all functions.
type Statement = ledger.Statement

// An Account is the bill of one function, in a Statement.
type Account = ledger.Account

// An Entry is the sum of some invocations, in an Account.
type Entry = ledger.Entry

// Ledger returns the bill of the invocations that have ended.
func (s *Server) Ledger() Statement { return s.ledger.Statement() }

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

// Kill kills all processes of an environment at once, as if its host had failed, and does not wait for their end. It returns
// false if there is no such environment.
func (s *Server) Kill(environmentID string) bool {
	return s.any(func(f *function.Function) bool { return f.Kill(environmentID) })
}

// Retire shuts an environment down as at the end of its idle time: SHUTDOWN event, SIGTERM, grace time. It does so even during an
// invocation, which may still be answered in the grace time. It does not wait for the end, and returns false if there is no such
// environment.
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

// registerInspection adds the paths that describe the server's state.
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
