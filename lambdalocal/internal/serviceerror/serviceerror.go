// Package serviceerror has the errors of Lambda's APIs: those by which the service, not the function, says no.
package serviceerror

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// An Error as the API sends it.
type Error struct {
	Type       string // such as ResourceNotFoundException
	Status     int
	Message    string
	Reason     string // of a TooManyRequestsException
	RetryAfter int    // seconds, of a TooManyRequestsException
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// The types that a caller can meet.
const (
	TypeNotFound       = "ResourceNotFoundException"
	TypeThrottled      = "TooManyRequestsException"
	TypeTooLarge       = "RequestTooLargeException"
	TypeEntityTooLarge = "RequestEntityTooLargeException" // the front door's
	TypeInvalidContent = "InvalidRequestContentException"
	TypeInvalidValue   = "InvalidParameterValueException"
	TypeAccessDenied   = "AccessDeniedException"
	TypeService        = "ServiceException"
	TypeUnknown        = "UnknownOperationException"
	TypeConflict       = "ResourceConflictException"
	TypeNotProvisioned = "ProvisionedConcurrencyConfigNotFoundException"
	TypeValidation     = "ValidationException"
	TypePrecondition   = "PreconditionFailedException"
)

// Reasons of a TooManyRequestsException (assumed: throttle-reason).
const (
	ReasonFunctionLimit = "ReservedFunctionConcurrentInvocationLimitExceeded"
	ReasonAccountLimit  = "ConcurrentInvocationLimitExceeded"
	ReasonScalingRate   = "FunctionInvocationRateLimitExceeded"
)

var statuses = map[string]int{
	TypeNotFound:       http.StatusNotFound,
	TypeThrottled:      http.StatusTooManyRequests,
	TypeTooLarge:       http.StatusRequestEntityTooLarge,
	TypeEntityTooLarge: http.StatusRequestEntityTooLarge,
	TypeInvalidContent: http.StatusBadRequest,
	TypeInvalidValue:   http.StatusBadRequest,
	TypeAccessDenied:   http.StatusForbidden,
	TypeService:        http.StatusInternalServerError,
	TypeUnknown:        http.StatusNotFound,
	TypeConflict:       http.StatusConflict,
	TypeNotProvisioned: http.StatusNotFound,
	TypeValidation:     http.StatusBadRequest,
	TypePrecondition:   http.StatusPreconditionFailed,
}

// New returns an error of a known type.
func New(kind, format string, args ...any) *Error {
	return &Error{Type: kind, Status: statuses[kind], Message: fmt.Sprintf(format, args...)}
}

// Unsatisfied says which constraint a parameter's value fails, in the words of the front door, which checks it before Lambda does.
func Unsatisfied(value, parameter, constraint string) *Error {
	return New(TypeValidation, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, parameter, constraint)
}

// Invalid is Unsatisfied for a constraint on the value itself, not on its parts: what it must be.
func Invalid(value, parameter, format string, args ...any) *Error {
	return Unsatisfied(value, parameter, "Member "+fmt.Sprintf(format, args...))
}

// Absent is Invalid for a parameter that must be given, and is not.
func Absent(parameter string) *Error {
	return New(TypeValidation, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", parameter)
}

// Throttled is the answer above a limit. Reason says which.
func Throttled(reason string) *Error {
	e := New(TypeThrottled, "Rate Exceeded.")
	e.Reason, e.RetryAfter = reason, 1
	return e
}

// Send answers with the error in the shape that the SDKs parse; an error of another kind becomes a ServiceException.
func Send(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = New(TypeService, "%v", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", e.Type)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e.body())
}

// body spells its keys as the service does, which is not the same for all types.
func (e *Error) body() map[string]string {
	body := map[string]string{"Type": "User"}
	if e.Status >= http.StatusInternalServerError {
		body["Type"] = "Service"
	}
	switch e.Type {
	case TypeNotFound, TypeService:
		body["Message"] = e.Message
	case TypeAccessDenied, TypeUnknown: // the front door's, not Lambda's own
		return map[string]string{"Message": e.Message}
	default:
		body["message"] = e.Message
	}
	if e.Reason != "" {
		body["Reason"] = e.Reason
	}
	return body
}
