package slots

import (
	"net/http"
	"strings"
)

// xrayHeader names a request's trace in X-Ray, for apps that go on with it.
const xrayHeader = "X-Amzn-Trace-Id"

// forgetLineage takes out what the front of a request has written for Lambda alone: the invocations that led to it. An app that
// passed it on in calls of its own would have them counted with those of somebody else's invocation, and Lambda stops what it
// takes for a loop.
func forgetLineage(header http.Header) {
	for i, id := range header[xrayHeader] {
		if strings.Contains(id, lineage) {
			header[xrayHeader][i] = withoutLineage(id)
		}
	}
}

const lineage = "Lineage="

func withoutLineage(id string) string {
	var kept []string
	for part := range strings.SplitSeq(id, ";") {
		if !strings.HasPrefix(strings.TrimSpace(part), lineage) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ";")
}
