// Package leasetest tests that a store does what a Candidate relies on.
package leasetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
)

const patience = 30 * time.Second

// Open returns the store of one record for a candidate. Each place has a record of its own.
type Open func(t *testing.T, place, me string) lease.Store

// Conform runs the tests.
func Conform(t *testing.T, open Open) {
	t.Run("a record is read as it was written", func(t *testing.T) { written(t, open(t, "written", "a"), open(t, "written", "b")) })
	t.Run("of racing writers one wins", func(t *testing.T) { racing(t, open) })
	t.Run("one leads, then the other", func(t *testing.T) { handOver(t, open) })
}

func written(t *testing.T, a, b lease.Store) {
	ctx := t.Context()
	found, err := b.Read(ctx)
	require.NoError(t, err)
	require.Equal(t, lease.Found{}, found)
	first := lease.Record{Version: 1, Term: 1, Holder: "a", Address: "10.0.0.1", Relays: []string{"p1", "p2"}, Alone: 3}
	require.NoError(t, a.Swap(ctx, 0, first))
	found, err = b.Read(ctx)
	require.NoError(t, err)
	require.Equal(t, first, found.Record)

	var conflict *lease.ConflictError
	require.ErrorAs(t, b.Swap(ctx, 0, lease.Record{Version: 1, Term: 9, Holder: "b"}), &conflict)
	require.Equal(t, first, conflict.Now)
	next := first
	next.Version = 2
	require.NoError(t, a.Swap(ctx, 1, next))
	require.ErrorAs(t, b.Swap(ctx, 1, lease.Record{Version: 2, Term: 9, Holder: "b"}), &conflict)
	released := lease.Record{Version: 3, Term: 1}
	require.NoError(t, a.Swap(ctx, 2, released))
	found, err = b.Read(ctx)
	require.NoError(t, err)
	require.False(t, found.Gone)
	require.Equal(t, "", found.Holder)
	require.Equal(t, uint64(1), found.Term)
	ended, end := context.WithCancel(ctx)
	end()
	if err := b.Swap(ended, 3, lease.Record{Version: 4, Term: 2, Holder: "b"}); err != nil {
		require.NotErrorAs(t, err, &conflict)
	}
}

// racing counts with one record.
func racing(t *testing.T, open Open) {
	const writers, each = 10, 10
	var lost atomic.Int64
	var all sync.WaitGroup
	for n := range writers {
		store := open(t, "racing", "w"+strconv.Itoa(n))
		all.Go(func() {
			for done := 0; done < each; {
				found, err := store.Read(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				err = store.Swap(context.Background(), found.Version, lease.Record{Version: found.Version + 1, Term: found.Term + 1})
				var conflict *lease.ConflictError
				switch {
				case err == nil:
					done++
				case errors.As(err, &conflict):
					lost.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	found, err := open(t, "racing", "reader").Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(writers*each), found.Version, "updates are lost")
	t.Log("refused", lost.Load())
}

// handOver lets two electors lead, one after the other.
func handOver(t *testing.T, open Open) {
	log := logrus.New()
	log.SetOutput(t.Output())
	var leading atomic.Int64
	terms := make(chan uint64, 8)
	lead := func(ctx context.Context, term uint64, _ []string) {
		if leading.Add(1) > 1 {
			t.Error("two lead")
		}
		terms <- term
		<-ctx.Done()
		leading.Add(-1)
	}
	var all sync.WaitGroup
	defer all.Wait()
	run := func(me string) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		e := lease.NewElector(me, "", open(t, "hand over", me), log)
		all.Go(func() { e.Run(ctx, lead) })
		return cancel
	}
	stopFirst := run("a")
	require.Equal(t, uint64(1), next(t, terms))
	stopSecond := run("b")
	defer stopSecond()
	stopFirst()
	began := time.Now()
	require.Equal(t, uint64(2), next(t, terms))
	t.Log("handed over after", time.Since(began))
}

func next(t *testing.T, terms <-chan uint64) uint64 {
	select {
	case term := <-terms:
		return term
	case <-time.After(patience):
		t.Fatal("nobody leads")
		return 0
	}
}
