package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

func TestCauses(t *testing.T) {
	for cause, err := range map[Cause]error{
		Denied:     &os.PathError{Op: "open", Path: "leader.lock", Err: syscall.EACCES},
		Full:       syscall.EDQUOT,
		NotFound:   &os.PathError{Op: "open", Path: "leader.lock", Err: syscall.ENOENT},
		ReadOnly:   syscall.EROFS,
		TimedOut:   context.DeadlineExceeded,
		Unreadable: Because(Unreadable, errors.New("no record")),
		Unknown:    errors.New("anything"),
	} {
		require.Equal(t, cause, CauseOf(fmt.Errorf("lease: %w", err)))
		require.Contains(t, Causes, cause)
	}
}

// readOnly is a store that can be read alone, such as a full disk or a table that a role may not write.
type readOnly struct{ memory }

func (*readOnly) Swap(context.Context, uint64, Record) error { return syscall.EROFS }

// Who leads, or would, needs more than to read; who stands by does not.
func TestAStoreThatCanOnlyBeReadFails(t *testing.T) {
	for holder, well := range map[string]bool{"me": false, "": false, "another": true} {
		synctest.Test(t, func(t *testing.T) {
			log, _ := logtest.NewNullLogger()
			store := &readOnly{memory{record: Record{Version: 1, Term: 1, Holder: holder}}}
			e := NewElector("me", "", store, log)
			stop := candidacy(t, e)
			for range 60 {
				time.Sleep(time.Second)
				store.mu.Lock()
				store.record.Version++ // the holder renews
				store.mu.Unlock()
			}
			h := e.Health()
			require.Equal(t, well, h.Why == "", "%q holds it: %+v", holder, h)
			require.Equal(t, well, h.Age < Duration)
			stop()
		})
	}
}

// What an operator sees of a store that fails, hangs, and comes back.
func TestHealthTellsSinceWhenAStoreHasNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _ := logtest.NewNullLogger()
		store := &moody{}
		well := func(int) error { return nil }
		store.fails.Store(well)
		e := NewElector("c0", "", store, log)
		stop := candidacy(t, e)
		time.Sleep(time.Minute)
		require.LessOrEqual(t, e.Health().Age, Renew)
		require.Empty(t, e.Health().Why)

		store.fails.Store(func(int) error { return syscall.ENOSPC })
		time.Sleep(time.Minute)
		h := e.Health()
		require.InDelta(t, time.Minute, h.Age, float64(Renew))
		require.Equal(t, syscall.ENOSPC.Error(), h.Why)
		require.Equal(t, Full, h.Cause)
		require.InDelta(t, time.Minute/Retry, h.Errors[Full], 5)

		store.fails.Store(well)
		time.Sleep(Renew)
		h = e.Health()
		require.LessOrEqual(t, h.Age, Renew)
		require.Empty(t, h.Why)
		require.Positive(t, h.Errors[Full])

		hangs := make(chan struct{}) // a file system may, and no call ends
		store.fails.Store(func(int) error { <-hangs; return nil })
		time.Sleep(time.Minute)
		h = e.Health()
		require.InDelta(t, time.Minute, h.Age, float64(2*Renew))
		require.NotEmpty(t, h.Why)
		require.Equal(t, TimedOut, h.Cause)
		store.fails.Store(well)
		close(hangs)
		stop()
	})
}
