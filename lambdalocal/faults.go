package lambdalocal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/faults"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A Fault is one thing that goes wrong, again and again, for as long as its limits allow.
type Fault = faults.Fault

// A FaultStatus is a fault in force.
type FaultStatus = faults.Status

// A FaultKind says what goes wrong.
type FaultKind = faults.Kind

// The kinds of faults.
const (
	FaultThrottle       = faults.Throttle
	FaultAccessDenied   = faults.AccessDenied
	FaultNotFound       = faults.NotFound
	FaultServiceError   = faults.ServiceError
	FaultInvalidContent = faults.InvalidContent
	FaultTooLarge       = faults.TooLarge
	FaultReset          = faults.Reset
	FaultSlowPlacement  = faults.SlowPlacement
	FaultSlowAnswer     = faults.SlowAnswer
	FaultAnswerEarly    = faults.AnswerEarly
	FaultAnswerLost     = faults.AnswerLost
	FaultKill           = faults.Kill
	FaultInitFailure    = faults.InitFailure
	FaultColdStart      = faults.ColdStart
	FaultLinkReset      = faults.LinkReset
	FaultLinkSilence    = faults.LinkSilence
	FaultLinkRefuse     = faults.LinkRefuse
	FaultLinkLatency    = faults.LinkLatency
)

func seed(cfg Config) uint64 {
	if cfg.FaultSeed != 0 {
		return cfg.FaultSeed
	}
	return rand.Uint64()
}

func (c Config) validateFaults(m *mistakes) {
	known := faults.Known{Links: c.listens()}
	for _, f := range c.Functions {
		known.Functions = append(known.Functions, f.Name)
	}
	for i, f := range c.Faults {
		*m = append(*m, f.Validate(fmt.Sprintf("faults[%d].", i), known)...)
	}
}

// SetFaults replaces all faults in force by these. If one of them is invalid it changes nothing, and the error names every mistake
// with its path, which begins with the fault's index.
func (s *Server) SetFaults(list ...Fault) error {
	var wrong []error
	for i, f := range list {
		wrong = append(wrong, f.Validate(indexed(i), s.known())...)
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	var lasting []Fault
	for _, f := range list {
		if !f.Momentary() {
			lasting = append(lasting, f)
		}
	}
	s.faults.Replace(lasting...)
	for _, f := range list {
		if f.Momentary() {
			s.resetLinks(f)
		}
	}
	return nil
}

// AddFault puts one more fault into force. If the fault is invalid, the error names every mistake with its key. A link_reset is
// over when AddFault returns; its id is 0.
func (s *Server) AddFault(f Fault) (id int, err error) {
	if wrong := f.Validate("", s.known()); len(wrong) > 0 {
		return 0, errors.Join(wrong...)
	}
	if f.Momentary() {
		s.resetLinks(f)
		return 0, nil
	}
	return s.faults.Add(f), nil
}

// RemoveFault ends a fault. It is false if none in force has the id.
func (s *Server) RemoveFault(id int) bool { return s.faults.Remove(id) }

// Faults lists the faults in force.
func (s *Server) Faults() []FaultStatus { return s.faults.List() }

func (s *Server) known() faults.Known { return faults.Known{Functions: s.names, Links: s.listens} }

// indexed begins the paths of a fault in a list.
func indexed(i int) string { return fmt.Sprintf("[%d].", i) }

// withFaults lets faults strike wherever the function asks.
func (s *Server) withFaults(name string, cfg function.Config) function.Config {
	own := cfg.ColdStart
	cfg.ColdStart = func() time.Duration { return s.faults.ColdStart(name, own()) }
	cfg.InitFails = func() bool { return s.faults.InitFails(name) }
	cfg.Killed = func() (bool, time.Duration) { return s.faults.Serving(name) }
	cfg.Around = s.around(name)
	return cfg
}

var (
	errEarly = errors.New("answered early by a fault")
	errLost  = errors.New("connection lost by a fault")
)

// A runner runs one invocation. If its context ends it returns early, and the invocation continues.
type runner = func(context.Context) (environment.Result, error)

// around lets faults strike the invocations of a function.
func (s *Server) around(name string) func(context.Context, runner) (environment.Result, error) {
	return func(ctx context.Context, run runner) (environment.Result, error) {
		what := s.faults.Arrival(name)
		switch {
		case what.Refusal != nil:
			s.functions[name].Refused()
			return environment.Result{}, what.Refusal
		case what.Reset:
			s.functions[name].Refused()
			return environment.Result{}, hangUp(ctx)
		}
		if err := pause(ctx, what.Placement); err != nil {
			return environment.Result{}, err
		}
		result, err := leaving(ctx, run, what)
		if err == nil {
			err = pause(ctx, what.Answer)
		}
		return result, err
	}
}

// leaving runs the invocation, and stops waiting for it when a fault says so.
func leaving(ctx context.Context, run runner, what faults.Arrival) (environment.Result, error) {
	waiting, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	for cause, after := range map[error]*time.Duration{errEarly: what.Early, errLost: what.Lost} {
		if after != nil {
			defer time.AfterFunc(*after, func() { leave(cause) }).Stop()
		}
	}
	result, err := run(waiting)
	switch cause := context.Cause(waiting); {
	case err == nil || ctx.Err() != nil:
		return result, err
	case errors.Is(cause, errEarly):
		return environment.Result{Outcome: environment.Succeeded, Payload: []byte("null")}, nil
	case errors.Is(cause, errLost):
		return environment.Result{}, hangUp(ctx)
	}
	return result, err
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type connectionKey struct{}

// withConnection puts a connection into the context of its requests, for hangUp.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// hangUp resets the caller's connection and returns when its request has ended with it.
func hangUp(ctx context.Context) error {
	c, ok := ctx.Value(connectionKey{}).(*net.TCPConn)
	if !ok {
		return serviceerror.New(serviceerror.TypeService, "a fault would reset the caller's connection, but nobody waits")
	}
	_ = c.SetLinger(0)
	_ = c.Close()
	<-ctx.Done()
	return ctx.Err()
}
