package cell

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	first     = flag.Uint64("cell.first", 1, "seed of the first history")
	histories = flag.Uint64("cell.histories", 200, "how many; the long test has five times as many")
)

// Promises of a cell, through many histories: no relay obeys an older term, nothing is invoked that no relay expects, nothing
// twice, no more than may be; and in the end one leads, which knows exactly what is there.
func TestACellKeepsItsPromises(t *testing.T) { keepsItsPromises(t, *first, *histories) }

func TestLongACellKeepsItsPromises(t *testing.T) {
	keepsItsPromises(t, *first+*histories, 5**histories)
}

func keepsItsPromises(t *testing.T, first, histories uint64) {
	for seed := first; seed < first+histories; seed++ {
		require.NoError(t, History(seed))
	}
}

func TestAHistoryIsTheSameEachTime(t *testing.T) {
	a, b := newWorld(7), newWorld(7)
	for _, w := range []*world{a, b} {
		w.after(0, w.clients)
		w.after(0, w.fault)
		w.run(faulty)
	}
	require.Equal(t, a.log, b.log)
	require.Equal(t, a.order, b.order)
}
