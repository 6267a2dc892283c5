package function

import (
	"context"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/account"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
)

// A Config is one function. The embedded Config is that of its latest version.
type Config struct {
	environment.Config
	Versions     []Version // those that are published at the start
	Aliases      []Alias   // those that there are at the start
	Modified     time.Time // the time of modification of all of these
	Architecture ledger.Architecture
	Events       Events
	Managed      *Managed             // nil: on Lambda's own machines
	StreamURL    bool                 // the function's URL streams its answers
	ScalingRate  int                  // new environments per 10 s
	ColdStart    func() time.Duration // from placement to the start of init: called once per environment
	IdleExpiry   func() time.Duration // how long an idle environment is kept: called once per freeze
	Ports        *environment.Ports
	Share        *account.Member // of the account's concurrency
	Book         *ledger.Book
	// InitFails tells whether a fault kills an environment in its init. It is called once per environment.
	InitFails func() bool
	// Killed tells whether a fault kills the environment of an invocation, and how long after the invocation's start. It is
	// called once per invocation.
	Killed func() (kill bool, after time.Duration)
	// Around is called for each invocation with a function that runs it; it returns what Invoke returns.
	Around func(context.Context, func(context.Context) (environment.Result, error)) (environment.Result, error)
}
