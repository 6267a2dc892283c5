package slots

import (
	"net/http"
	"strings"
)

// xrayHeader names a request's trace in X-Ray, which apps continue.
const xrayHeader = "X-Amzn-Trace-Id"

// forgetLineage removes the lineage from X-Ray ids: the invocations that led to this request, for Lambda's detection of loops.
// An app that passed it on in its own calls would have them counted as part of somebody else's chain, and Lambda would stop
// them as a loop.
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
