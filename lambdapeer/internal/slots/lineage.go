package slots

import (
	"net/http"
	"slices"
	"strings"
)

// xrayHeader names a request's trace in X-Ray, which apps continue.
const xrayHeader = "X-Amzn-Trace-Id"

// forgetLineage removes the lineage from X-Ray ids: the invocations that led to this request, for Lambda's detection of loops.
// An app that passed it on in its own calls would have them counted as part of somebody else's chain, and Lambda would stop
// them as a loop. An id of nothing else is removed.
func forgetLineage(header http.Header) {
	ids := header[xrayHeader]
	for i, id := range ids {
		if strings.Contains(id, lineage) {
			ids[i] = withoutLineage(id)
		}
	}
	if ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" }); len(ids) == 0 {
		delete(header, xrayHeader)
	} else {
		header[xrayHeader] = ids
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
