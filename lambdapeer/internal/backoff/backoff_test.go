package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPausesGrowAndStartOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Least: 20 * time.Millisecond, Most: 70 * time.Millisecond, Steady: time.Second}
		slept := func() time.Duration {
			began := time.Now()
			require.True(t, b.Sleep(context.Background()))
			return time.Since(began)
		}
		for _, whole := range []time.Duration{20, 40, 70, 70} {
			got := slept()
			require.GreaterOrEqual(t, got, whole*time.Millisecond/2)
			require.LessOrEqual(t, got, whole*time.Millisecond)
		}
		b.Stood(999 * time.Millisecond)
		require.GreaterOrEqual(t, slept(), 35*time.Millisecond)
		b.Stood(time.Second)
		require.LessOrEqual(t, slept(), 20*time.Millisecond)
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := Backoff{Least: time.Hour, Most: time.Hour}
	require.False(t, b.Sleep(ctx))
}
