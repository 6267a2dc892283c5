package cell

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	first     = flag.Uint64("cell.first", 1, "seed of the first history")
	histories = flag.Uint64("cell.histories", 200, "how many; the long test has five times as many")
)

// Promises of a cell, through many histories: no relay obeys an older term, nothing is invoked that no relay expects in that term, nothing
// twice, no more than a ceiling allows; who does not lead leases nothing; nothing is started by a leader that does not know all that runs,
// and hardly anything for nobody; no request waits beside a free slot, whoever decides; and in the end one leads, which knows exactly
// what is there.
func TestACellKeepsItsPromises(t *testing.T) { keepsItsPromises(t, *first, *histories) }

func TestLongACellKeepsItsPromises(t *testing.T) {
	keepsItsPromises(t, *first+*histories, 5**histories)
}

// The log says how far it is, and what histories cost.
const (
	progress  = 1000
	mostFails = 5
)

// mostNeedless is of how many starts one may be needless.
const mostNeedless = 400

func keepsItsPromises(t *testing.T, first, histories uint64) {
	began, failed := time.Now(), 0
	var all Told
	for n := range histories {
		told, err := History(first + n)
		all.Starts += told.Starts
		all.Needless += told.Needless
		if err != nil {
			t.Error(err)
			if failed++; failed == mostFails {
				t.Fatalf("%d histories of %d broke a promise", failed, n+1)
			}
		}
		if done := n + 1; done%progress == 0 {
			t.Logf("%d histories, up to seed %d, %d failed, %s each; %d starts, %d needless", done, first+n, failed, time.Since(began)/time.Duration(done), all.Starts, all.Needless)
		}
	}
	require.Greater(t, all.Starts, 10*int(histories))
	require.LessOrEqual(t, mostNeedless*all.Needless, all.Starts, "starts that nobody needed")
}

// A seed that fails must fail again: nothing may depend on the order of a map, or on the clock.
func TestAHistoryIsTheSameEachTime(t *testing.T) {
	for seed := range uint64(5) {
		a, b := live(seed), live(seed)
		require.Equal(t, a.log, b.log)
		require.Equal(t, a.order, b.order)
		require.Equal(t, a.starts, b.starts)
		require.Equal(t, a.rng.Uint64(), b.rng.Uint64())
	}
}
