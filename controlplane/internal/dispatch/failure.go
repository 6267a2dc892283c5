package dispatch

import (
	"strings"
	"unicode/utf8"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// maxFailureDetail bounds what the status repeats of a failure, in bytes; the log has all of it.
const maxFailureDetail = 512

// A failure is the last one of a function's instances: what Lambda or the peer said about it, for operators only.
type failure struct {
	cause  scaler.Cause
	detail string
}

func failureOf(end End) failure {
	return failure{scaler.StartCause(end.Cause), oneLine(end.Detail, maxFailureDetail)}
}

// because is what follows a sentence about that cause: what was said when it last made an instance fail.
func (f failure) because(cause scaler.Cause) string {
	if f.cause != cause || f.detail == "" {
		return ""
	}
	return "; the last failure: " + f.detail
}

// oneLine makes each run of white space one blank, and cuts what is longer than limit bytes between two characters.
func oneLine(s string, limit int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// withoutToken takes an invocation's token out of what was said about its failure: an app may repeat the event in its
// error. The token is of use until the instance is forgotten.
func withoutToken(detail, token string) string { return strings.ReplaceAll(detail, token, "[token]") }
