package uplink

import (
	"cmp"
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// expectation converts an expectation for the relay.
func expectation(now time.Time, e tables.Expectation) relays.Expectation {
	out := relays.Expectation{Instance: e.Instance, Function: e.Function, Endpoint: e.Endpoint, Expires: now.Add(e.Expires.Duration())}
	if e.StartBy > 0 {
		out.StartBy = now.Add(e.StartBy.Duration())
	}
	return out
}

// ends maps the causes of ends without a goodbye to the errors of package relays.
var ends = map[tables.EndCause]error{
	tables.EndNeverDialled: relays.ErrNeverDialled,
	tables.EndForgotten:    relays.ErrForgotten,
	tables.EndControlEnded: relays.ErrControlEnded,
	tables.EndTooOften:     relays.ErrTooOften,
	tables.EndStopped:      relays.ErrStopped,
	tables.EndReplaced:     relays.ErrReplaced,
}

func endOf(report *wire.Report, err error) tables.End {
	if report != nil || err == nil {
		return tables.End{Report: report, Cause: tables.EndBroken}
	}
	end := tables.End{Cause: tables.EndBroken, Detail: err.Error()}
	for cause, known := range ends {
		if errors.Is(err, known) {
			end.Cause = cause
		}
	}
	return end
}

// EndError is the error of package relays for an end without a report; nil for one with a report.
func EndError(end tables.End) error {
	if end.Report != nil {
		return nil
	}
	return &endError{end}
}

type endError struct{ end tables.End }

func (e *endError) Error() string { return cmp.Or(e.end.Detail, string(e.end.Cause)) }
func (e *endError) Unwrap() error { return ends[e.end.Cause] }
