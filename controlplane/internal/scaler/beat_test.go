package scaler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// drum lets a crowd of 20 come at once, which needs two instances for half a second.
func drum(b *scaler.Beat, at time.Time, arrivals *uint64) {
	for range 20 {
		*arrivals++
		b.Observe(at, *arrivals, 2)
	}
	for k := range 5 {
		b.Observe(at.Add(time.Duration(k+1)*100*time.Millisecond), *arrivals, 2)
	}
	b.Observe(at.Add(501*time.Millisecond), *arrivals, 0)
}

func TestABeatForeseesTheNextCrowd(t *testing.T) {
	const start, every = 20 * time.Millisecond, 30 * time.Second
	b, at, arrivals := &scaler.Beat{}, time.Unix(1_000_000, 0), uint64(0)
	expect := func(at time.Time) int {
		n, _ := b.Expect(at, start, 0.1)
		return n
	}
	for range 3 {
		require.Zero(t, expect(at), "not known yet")
		drum(b, at, &arrivals)
		at = at.Add(every)
	}
	n, changes := b.Expect(at.Add(-time.Second), start, 0.1)
	require.Zero(t, n)
	require.Equal(t, at.Add(-start*13/10), changes, "a little more than a start before")
	require.Equal(t, 2, expect(changes))
	require.Equal(t, 2, expect(at))
	n, _ = b.Expect(at, start, 0.001)
	require.Zero(t, n, "not worth it")

	late := at.Add(time.Second)
	b.Observe(late, arrivals, 0)
	require.Zero(t, expect(at.Add(every)), "one has not come: no beat any more")
	drum(b, late, &arrivals)
	drum(b, late.Add(every), &arrivals)
	require.Zero(t, expect(late.Add(2*every)))
}
