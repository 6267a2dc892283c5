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
	Versions     []Version // the published ones, as are Aliases those of the start
	Aliases      []Alias
	Modified     time.Time // when all of them are taken for modified
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
	// Faults on demand: whether an environment dies in its init, called once per environment, and whether and when it is
	// killed under an invocation that it begins to serve, called once per invocation.
	InitFails func() bool
	Killed    func() (kill bool, after time.Duration)
	// Around is called for each invocation, whichever way it came, with what runs it and returns as Invoke does.
	Around func(context.Context, func(context.Context) (environment.Result, error)) (environment.Result, error)
}
