package dispatch

import (
	"context"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Provider turns a wanted instance into a running one. Functions whose peers register by themselves have none.
type Provider interface {
	// Invoke runs one instance and returns when its invocation is over, minutes later as a rule. When ctx ends, Invoke
	// stops listening; the invocation itself cannot be called back.
	Invoke(ctx context.Context, invocation wire.Invocation) End
}

// An End says how an invocation ended.
type End struct {
	Cause    scaler.Cause // why it counts as failed; empty after a report
	Detail   string       // for the operator's log, never for clients
	Report   *wire.Report // the peer's own account; nil when the function did not live to give one
	Request  string       // Lambda's id of the invocation, which its log lines have; empty: not known
	Usage    bill.Usage   // what Lambda says it bills; zero where it did not say
	NeverRan bool         // the call was refused, or did not get as far as Lambda: nothing is billed

	lost bool // nobody knows whether the invocation is over: no answer came, and its tunnels say nothing
}
