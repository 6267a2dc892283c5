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

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) R 1 42 42 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 7 0 1 2 3"))
	f.Add([]byte("no parenthesis"))
	f.Fuzz(func(_ *testing.T, stat []byte) { _, _ = parseStat(stat) })
}
