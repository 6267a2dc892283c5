package faults

import (
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A point is where faults strike: each has one method of Set that asks.
type point uint8

const (
	nowhere     point = iota // of a kind that does not exist
	atArrival                // of an invocation at the Invoke API
	atColdStart              // of an environment, before its init
	atInit                   // of an environment
	atServing                // of an invocation in its environment
	atLink
)

// A rule is what belongs to a kind.
type rule struct {
	point   point
	refusal string // the service error's type, of a refusal
	delay   need
	moment  bool // strikes once, when it is set
}

// A need says whether a fault's delay means anything.
type need uint8

const (
	never need = iota
	optional
	required
)

var kinds = map[Kind]rule{
	Throttle:       {point: atArrival, refusal: serviceerror.TypeThrottled},
	AccessDenied:   {point: atArrival, refusal: serviceerror.TypeAccessDenied},
	NotFound:       {point: atArrival, refusal: serviceerror.TypeNotFound},
	ServiceError:   {point: atArrival, refusal: serviceerror.TypeService},
	InvalidContent: {point: atArrival, refusal: serviceerror.TypeInvalidContent},
	TooLarge:       {point: atArrival, refusal: serviceerror.TypeTooLarge},
	Reset:          {point: atArrival},
	SlowPlacement:  {point: atArrival, delay: required},
	SlowAnswer:     {point: atArrival, delay: required},
	AnswerEarly:    {point: atArrival, delay: optional},
	AnswerLost:     {point: atArrival, delay: optional},
	Kill:           {point: atServing, delay: optional},
	InitFailure:    {point: atInit},
	ColdStart:      {point: atColdStart, delay: optional},
	LinkReset:      {point: atLink, moment: true},
	LinkSilence:    {point: atLink},
	LinkRefuse:     {point: atLink},
	LinkLatency:    {point: atLink, delay: required},
}

// reasons are those of a TooManyRequestsException, as the service's own documents list them.
var reasons = []string{
	"ConcurrentInvocationLimitExceeded", "ConcurrentSnapshotCreateLimitExceeded", "FunctionInvocationRateLimitExceeded",
	"ReservedFunctionConcurrentInvocationLimitExceeded", "ReservedFunctionInvocationRateLimitExceeded",
	"CallerRateLimitExceeded",
}
