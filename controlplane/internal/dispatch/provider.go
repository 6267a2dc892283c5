package dispatch

import (
	"context"
	"time"

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
	Cause  scaler.Cause // why it counts as failed; empty after a report
	Detail string       // for the operator's log, never for clients
	Report *wire.Report // the peer's own account; nil when the function did not live to give one
	Usage  Usage
}

// Usage is what Lambda's REPORT line says; zero where there was none.
type Usage struct {
	Billed   time.Duration
	Init     time.Duration
	MemoryMB int // configured
	MaxMB    int // used at most
}
