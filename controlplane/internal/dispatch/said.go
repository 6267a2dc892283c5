package dispatch

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// maxSaid bounds the detail of a failure in the status, in bytes. The log has all of it.
const maxSaid = 512

// said is what Lambda or the peer said when an instance last failed for a cause. It is for operators only.
type said map[scaler.Cause]string

func (s said) note(end provider.End) {
	if end.Cause != "" {
		s[scaler.StartCause(end.Cause)] = oneLine(end.Detail)
	}
}

// because is appended to a sentence about that cause.
func (s said) because(cause scaler.Cause) string {
	if s[cause] == "" {
		return ""
	}
	return "; the last failure: " + s[cause]
}

// oneLine makes each run of white space one blank. It cuts what is longer than maxSaid, never within a character.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxSaid {
		return s
	}
	end := maxSaid
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// noteFailure records how an instance failed, if it did. The caller holds f.mu.
func (f *function) noteFailure(at time.Time, i *instance, end provider.End, inFlight string) {
	if end.Cause == "" {
		return
	}
	f.said.note(end)
	f.failedLast = scaler.StartCause(end.Cause)
	what := operator.InstanceFailed
	if i.core.Slots() == 0 {
		what = operator.StartFailed
	}
	detail := end.Detail
	if inFlight != "" {
		detail = "in flight: " + inFlight + "; " + detail
	}
	f.recent.failed(failure{what: what, cause: string(end.Cause), at: at, instance: i.id, detail: oneLine(detail)})
}
