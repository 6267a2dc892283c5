package pool_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
)

// A clock tells times of this process's monotonic clock, by a wall clock that may be set.
type clock struct {
	began time.Time
	ahead time.Duration // whole seconds
}

// after is the time so long after the beginning.
func (c clock) after(d time.Duration) time.Time {
	t := c.began.Add(d)
	(*struct{ wall uint64 })(unsafe.Pointer(&t)).wall += uint64(c.ahead/time.Second) << 30 // as package time has it
	return t
}

// Slots that nobody leases are found as quickly after the clock was set.
func TestForeignSlotsAreFoundAfterTheClockWasSet(t *testing.T) {
	for _, ahead := range []time.Duration{0, -time.Hour, time.Hour} {
		c, f := clock{began: time.Now()}, pool.Foreign{}
		f.Begin(c.after(0), 0, true)
		f.Leases(c.after(time.Second), 10)
		c.ahead = ahead
		require.Equal(t, time.Second, c.after(time.Second).Sub(c.began), "only the wall clock was set")
		require.WithinDuration(t, c.began.Add(ahead).Round(0), c.after(0).Round(0), 0)
		f.Leases(c.after(2*time.Second), 0)
		f.Report(c.after(3*time.Second), 10, pool.DefaultDelay)
		require.Equal(t, 10, f.Slots(c.after(4*time.Second)), "the clock was set by %v", ahead)
	}
}
