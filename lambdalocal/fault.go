package lambdalocal

import (
	"context"
	"fmt"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A Fault makes invocations of a function fail before they reach an environment.
type Fault struct {
	// Error is the type of the service error: TooManyRequestsException, AccessDeniedException, ResourceNotFoundException,
	// ServiceException and so on. Empty: no fault.
	Error   string
	Message string // empty: a text that names the fault
	Reason  string // of a TooManyRequestsException; empty: the function's limit
	Times   int    // how many invocations it refuses; zero: all, until another SetFault
}

// SetFault replaces the function's fault; the zero Fault removes it.
func (s *Server) SetFault(functionName string, fault Fault) error {
	switch {
	case s.functions[functionName] == nil:
		return fmt.Errorf("set fault: no function %q", functionName)
	case fault.Error != "" && !serviceerror.Known(fault.Error):
		return fmt.Errorf("set fault: unknown service error %q", fault.Error)
	}
	s.faults.set(functionName, fault)
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

// faults are those in force, by function.
type faults struct {
	mu sync.Mutex
	of map[string]*Fault
}

func (f *faults) set(function string, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[function] = &fault
}

// strike returns the error of a fault that makes this invocation fail, or nil.
func (f *faults) strike(function string) *serviceerror.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.of[function]
	if fault == nil || fault.Error == "" {
		return nil
	}
	err := fault.serviceError()
	if fault.Times--; fault.Times == 0 {
		delete(f.of, function)
	}
	return err
}

// around lets faults strike before an invocation of the function runs.
func (s *Server) around(name string) func(context.Context, func(context.Context) (environment.Result, error)) (environment.Result, error) {
	return func(ctx context.Context, run func(context.Context) (environment.Result, error)) (environment.Result, error) {
		if err := s.faults.strike(name); err != nil {
			s.functions[name].Refused()
			return environment.Result{}, err
		}
		return run(ctx)
	}
}
