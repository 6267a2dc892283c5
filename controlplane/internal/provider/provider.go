// Package provider is the interface by which the dispatcher has instances started.
package provider

import (
	"context"
	"errors"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Provider turns a wanted instance into a running one. Functions whose peers register by themselves have none.
type Provider interface {
	// Invoke runs one instance of that version, or if it is empty of what the function's qualifier points to, and returns when
	// its invocation is over, minutes later as a rule. When ctx ends, Invoke stops listening; the invocation itself cannot be
	// called back.
	Invoke(ctx context.Context, version string, invocation wire.Invocation) End
	// Routing reads what the function's qualifier points to. The error wraps ErrForbidden if that may not be read, and ErrGone if there
	// is no such function or qualifier.
	Routing(ctx context.Context) (Routing, error)
}

// ErrForbidden says that the control plane has no right to read what it asked for.
var ErrForbidden = errors.New("not permitted")

// ErrGone says that Lambda has no such function or qualifier.
var ErrGone = errors.New("no such function or qualifier")

// A Routing is what a function's qualifier points to.
type Routing struct {
	// Route is what new instances are to run. The zero Route: there is nothing to choose, because the qualifier is a version
	// or none.
	Route pool.Route
	// Revision changes with the code where its version does not, as that of $LATEST; empty: it never does.
	Revision string
}

// An End says how an invocation ended.
type End struct {
	Cause    scaler.Cause // why it counts as failed; empty after a report
	Detail   string       // for the operator's log, never for clients; the invocation's token is not in it
	Report   *wire.Report // the peer's own account; nil when the function did not live to give one
	Version  string       // of the code that ran, as Lambda says; empty: it does not
	Request  string       // Lambda's id of the invocation, which its log lines have; empty: not known
	Usage    bill.Usage   // what Lambda says it bills; zero where it did not say
	NeverRan bool         // the call was refused, or did not reach Lambda: nothing is billed

	Lost    bool // nobody knows whether the invocation is over: no answer came, and its tunnels say nothing
	GivenUp bool // a control plane had it cut off before it came up, which says nothing about the function
}
