package cli

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALongSimulationSaysHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(t.Context(), &out)
		p.enter("all policies")
		for range 5 {
			time.Sleep(1500 * time.Millisecond)
			require.NoError(t, p.before())
		}
		require.Equal(t, "simulate: 3s, all policies, step 2\nsimulate: 6s, all policies, step 4\n", out.String())
	})
}

func TestASimulationEndsAtCtrlC(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	require.EqualError(t, run(ctx, []string{"simulate"}, nil, &stdout, &stderr), "simulate: interrupted")
	require.Empty(t, stdout.String())
}
