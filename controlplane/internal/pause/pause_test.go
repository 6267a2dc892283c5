package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
)

func TestAPauseEndsWithItsTimeOrItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.True(t, pause.For(t.Context(), time.Minute))
		require.Equal(t, time.Minute, time.Since(began))

		wake := make(chan struct{}, 1)
		wake <- struct{}{}
		require.True(t, pause.Unless(t.Context(), time.Minute, wake))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.False(t, pause.For(ctx, time.Minute))
		require.Equal(t, time.Minute, time.Since(began), "neither took any time")
	})
}
