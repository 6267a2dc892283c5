package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
)

// Variables that Lambda Managed Instances set. Extensions are not told how many invocations there may be at once.
const (
	maxConcurrencyVar     = "AWS_LAMBDA_MAX_CONCURRENCY"
	initializationTypeVar = "AWS_LAMBDA_INITIALIZATION_TYPE"
	managedInstances      = "lambda-managed-instances"
)

// untold is how many invocations an extension asks for at once on Managed Instances: the most that AWS sends to one vCPU.
const untold = 64

// ReadWorkers returns how many invocations to ask for at once: at least one on Lambda Managed Instances, 0 elsewhere.
func ReadWorkers(getenv func(string) string) (int, error) {
	text := getenv(maxConcurrencyVar)
	switch n, err := strconv.Atoi(text); {
	case text == "" && getenv(initializationTypeVar) == managedInstances:
		return untold, nil
	case text == "":
		return 0, nil
	case err != nil || n < 1:
		return 0, fmt.Errorf("%s: %q is not a positive number", maxConcurrencyVar, text)
	default:
		return n, nil
	}
}

// runManaged serves invocations concurrently, each as one request to the app. Managed Instances are never frozen. Invocations of
// Lambda Dispatch are refused, because such an environment serves many requests at once by itself. The first error ends all
// workers.
func (e *Environment) runManaged(ctx context.Context, api *runtimeapi.Client) error {
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	ready := oneAtATime(e.Ready)
	for range e.Workers {
		worker := *e // each has a state of its own
		worker.Hooks, worker.Settle, worker.Ready, worker.managed = Hooks{}, nil, ready, true
		workers.Go(func() {
			if err := worker.work(working, api); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(working)
}

// oneAtATime lets one caller at a time call ready.
func oneAtATime(ready func(context.Context, func(string)) error) func(context.Context, func(string)) error {
	if ready == nil {
		return nil
	}
	lock := make(chan struct{}, 1)
	return func(ctx context.Context, say func(string)) error {
		select {
		case lock <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		defer func() { <-lock }()
		return ready(ctx, say)
	}
}

// errManaged answers an invocation of Lambda Dispatch on a Managed Instance.
var errManaged = &events.Error{
	Type:    "LambdaDispatch.ManagedInstances",
	Message: "on Lambda Managed Instances an environment serves many invocations at once by itself: send it events, not through Lambda Dispatch",
}
