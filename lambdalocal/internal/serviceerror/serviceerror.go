// Package serviceerror has the errors of Lambda's Invoke API: those by which the service, not the function, says no.
package serviceerror

import (
	"fmt"
	"net/http"
)

// An Error as the API sends it.
type Error struct {
	Type    string // such as ResourceNotFoundException
	Status  int
	Message string
	Reason  string // of a TooManyRequestsException
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// The types that a caller can meet.
const (
	TypeNotFound        = "ResourceNotFoundException"
	TypeThrottled       = "TooManyRequestsException"
	TypeTooLarge        = "RequestTooLargeException"
	TypeInvalidContent  = "InvalidRequestContentException"
	TypeInvalidValue    = "InvalidParameterValueException"
	TypeAccessDenied    = "AccessDeniedException"
	TypeService         = "ServiceException"
	TypeUnknown         = "UnknownOperationException"
	ReasonFunctionLimit = "ReservedFunctionConcurrentInvocationLimitExceeded"
)

var statuses = map[string]int{
	TypeNotFound:       http.StatusNotFound,
	TypeThrottled:      http.StatusTooManyRequests,
	TypeTooLarge:       http.StatusRequestEntityTooLarge,
	TypeInvalidContent: http.StatusBadRequest,
	TypeInvalidValue:   http.StatusBadRequest,
	TypeAccessDenied:   http.StatusForbidden,
	TypeService:        http.StatusInternalServerError,
	TypeUnknown:        http.StatusNotFound,
}

// Known says whether there is an error of this type.
func Known(kind string) bool { return statuses[kind] != 0 }

// New returns an error of a known type.
func New(kind, format string, args ...any) *Error {
	return &Error{Type: kind, Status: statuses[kind], Message: fmt.Sprintf(format, args...)}
}

// Throttled is the answer above a concurrency limit. Reason says which.
func Throttled(reason string) *Error {
	e := New(TypeThrottled, "Rate Exceeded.")
	e.Reason = reason
	return e
}
