package scaler

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Starts come and go for as long as the control plane runs, and one may hang throughout: what is looked at stays as little as they are.
func TestABatchForgetsTheStartsThatHaveLeft(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for name, hangs := range map[string]int{"one after the other": 0, "beside one that hangs": 1} {
		t.Run(name, func(t *testing.T) {
			var b batch
			for range hangs {
				b.add(&Start{at: now})
			}
			before := &Start{at: now}
			b.add(before)
			for n := range 10_000 {
				s := &Start{at: now.Add(time.Duration(n) * time.Second)}
				b.add(s)
				b.remove(before)
				before = s
				require.Len(t, slices.Collect(b.latest()), hangs+1)
				require.Less(t, len(b.queue), 30)
			}
		})
	}
}

// Thousands of starts hang, while others come up: what is asked at each event must not loop over them.
func BenchmarkStartsThatHang(b *testing.B) {
	for b.Loop() {
		f := NewFleet()
		now := time.Unix(1_000_000, 0)
		f.Up(now, "first", time.Second, f.Begin(now))
		for range 5000 {
			f.Begin(now)
		}
		f.Up(now.Add(time.Second), "second", time.Second, f.Begin(now))
		now = now.Add(time.Minute)
		for range 5000 {
			f.expect(now)
			f.expires()
			now = now.Add(time.Millisecond)
		}
		if f.Lost() != 5000 {
			b.Fatal(f.Lost())
		}
	}
}
