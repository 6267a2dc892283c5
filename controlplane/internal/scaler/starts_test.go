package scaler

import (
	"testing"
	"time"
)

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
