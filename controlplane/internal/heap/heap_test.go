package heap

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const mega = 1 << 20

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		name string
		census
		want int
	}{
		{"a small heap grows to 32 MB", census{7 * mega, 0, 0}, 357},
		{"stacks and globals count", census{7 * mega, 2 * mega, mega}, 250},
		{"half the bytes live", census{16 * mega, 0, 0}, usual},
		{"more than half", census{20 * mega, 0, 0}, usual},
		{"more than all", census{100 * mega, mega, mega}, usual},
		{"next to nothing lives", census{mega, 0, 0}, 800},
		{"nothing is known yet", census{}, usual},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, percent(32*mega, c.census)) })
	}
}

func goal() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

var living []byte

func TestASmallHeapIsLetGrowAndALargeOneDoubles(t *testing.T) {
	AtLeast(32 * mega)
	comes := func(what string, ok func() bool) {
		require.Eventually(t, func() bool { runtime.GC(); return ok() }, time.Minute, time.Millisecond, what)
	}
	comes("small", func() bool { return goal() >= 31*mega && goal() <= 33*mega })
	living = make([]byte, 64*mega)
	comes("large", func() bool { return goal() >= 128*mega && goal() <= 140*mega })
	living = nil
	comes("small again", func() bool { return goal() >= 31*mega && goal() <= 33*mega })
}
