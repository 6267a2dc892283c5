package bucket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
)

var epoch = time.Unix(1_000_000, 0)

func TestItRefills(t *testing.T) {
	b := bucket.New(2, 3)
	now := epoch
	require.Equal(t, 3, b.Tokens(now))
	b.Take(now, 3)
	require.Equal(t, 0, b.Tokens(now))
	require.Equal(t, now.Add(500*time.Millisecond), b.Next(now))
	require.Equal(t, 0, b.Tokens(now.Add(499*time.Millisecond)))
	require.Equal(t, 1, b.Tokens(now.Add(500*time.Millisecond)))
	require.Equal(t, 3, b.Tokens(now.Add(time.Hour)), "never above its size")
}

func TestWithoutRefillOrSize(t *testing.T) {
	b := bucket.New(0, 2)
	b.Take(epoch, 2)
	require.Zero(t, b.Tokens(epoch.Add(90*24*time.Hour)))
	empty := bucket.New(100, 0)
	require.Zero(t, empty.Tokens(epoch))
}

func TestWhatIsGivenBackMayBeTakenAgain(t *testing.T) {
	b := bucket.New(1, 2)
	require.True(t, b.Try(epoch))
	require.True(t, b.Try(epoch))
	require.False(t, b.Try(epoch))
	b.Give(1)
	require.True(t, b.Try(epoch))
	b.Give(5)
	require.Equal(t, 2, b.Tokens(epoch), "never above its size")
}

// Over any window, no more than size + rate*window tokens are taken, and Next is exact.
func TestBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.01, 1e6).Draw(t, "rate")
		size := rapid.IntRange(1, 50).Draw(t, "size")
		b := bucket.New(rate, size)
		now := epoch
		var taken []time.Time
		for range 100 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*float64(time.Second)/rate)).Draw(t, "pass")))
			n := rapid.IntRange(0, b.Tokens(now)).Draw(t, "take")
			b.Take(now, n)
			for range n {
				taken = append(taken, now)
			}
			if left := b.Tokens(now); left < size {
				next := b.Next(now)
				require.Greater(t, b.Tokens(next), left)
				require.Equal(t, left, b.Tokens(next.Add(-1)))
			}
		}
		for k, from := range taken {
			allowed := float64(size) + rate*now.Sub(from).Seconds()
			if n := len(taken) - k; float64(n) > allowed+1e-6 {
				t.Fatalf("%d taken in %v, allowed %v", n, now.Sub(from), allowed)
			}
		}
	})
}
