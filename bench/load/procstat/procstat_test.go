package procstat

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadSeesCPUAndMemory(t *testing.T) {
	before, err := Read(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, before.RSS)
	require.Positive(t, before.PSS)
	require.Positive(t, before.Threads)

	require.Eventually(t, func() bool {
		for range 1_000_000 { // spend some
		}
		now, err := Read(os.Getpid())
		return err == nil && now.CPU >= before.CPU+2*tick
	}, 10*time.Second, time.Millisecond)
}

func TestReadAllAddsUp(t *testing.T) {
	one, err := Read(os.Getpid())
	require.NoError(t, err)
	both, err := ReadAll(os.Getpid(), os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, both.CPU, 2*one.CPU)
	require.Greater(t, both.PSS, one.PSS)
}

func TestReadNamesTheDeadProcess(t *testing.T) {
	_, err := ReadAll(os.Getpid(), 1<<30)
	require.ErrorContains(t, err, "process 1073741824:")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestParseStatSurvivesOddNames(t *testing.T) {
	u, err := parseStat([]byte("42 (a) b (c) R 1 42 42 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 7 0 1 2 3"))
	require.NoError(t, err)
	require.Equal(t, Usage{CPU: 2 * time.Second, Threads: 7}, u)
}

func TestThisMachine(t *testing.T) {
	m, err := ThisMachine()
	require.NoError(t, err)
	require.NotEmpty(t, m.CPU)
	require.NotEmpty(t, m.Kernel)
	require.Positive(t, m.Cores)
	require.Greater(t, m.Memory, int64(64<<20))
	require.Contains(t, m.Go, "go1.")
}

func TestModelName(t *testing.T) {
	require.Equal(t, "Some CPU @ 2 GHz", modelName("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: fpu\n"))
	require.Empty(t, modelName("processor\t: 0\n"))
}

func TestClock(t *testing.T) {
	c, err := parseClock("cpu  100 20 30 4000 5 6 7 37 0 0\ncpu0 1 2 3\n")
	require.NoError(t, err)
	require.Equal(t, Clock{Busy: 163 * tick, Stolen: 37 * tick}, c)
	require.InDelta(t, 0.185, c.StolenShare(), 1e-9)
	require.Zero(t, c.Sub(c).StolenShare())
	for _, bad := range []string{"", "cpu 1 2", "cpu a b c d e f g h"} {
		_, err := parseClock(bad)
		require.Error(t, err, bad)
	}
	before, err := Now()
	require.NoError(t, err)
	require.Positive(t, before.Busy)
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) R 1 42 42 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 7 0 1 2 3"))
	f.Add([]byte("no parenthesis"))
	f.Fuzz(func(_ *testing.T, stat []byte) { _, _ = parseStat(stat) })
}
