package admission_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// TestStartCausesAreThoseOfScaler holds the two lists of texts together: one word per cause, wherever it is seen.
func TestStartCausesAreThoseOfScaler(t *testing.T) {
	for _, cause := range scaler.StartCauses {
		if cause.IsThrottled() {
			cause = scaler.Throttled
		}
		require.Contains(t, admission.Causes, admission.Cause(cause))
	}
}

func TestErrorTellsOutcomeAndCause(t *testing.T) {
	wrapped := fmt.Errorf("web: %w", admission.Evict(admission.QueueTimeout))
	var refused *admission.Error
	require.True(t, errors.As(wrapped, &refused))
	require.Equal(t, admission.Error{Outcome: admission.Evicted, Cause: admission.QueueTimeout}, *refused)
	require.EqualError(t, admission.Reject(admission.QueueFull), "request rejected: queue_full")
}
