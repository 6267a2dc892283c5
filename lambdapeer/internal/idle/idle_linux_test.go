package idle

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// beside runs a shell script as a child for as long as the test.
func beside(t *testing.T, script string, env ...string) {
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "OURS=1"}, env...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func ours() (sample, bool) { return look(os.Getpid(), -1, "OURS=1") }

func TestProcessesThatWaitAreIdle(t *testing.T) {
	beside(t, "sleep 60 & sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.True(t, await(ctx, ours))
}

func TestAProcessThatWorksIsNotIdle(t *testing.T) {
	beside(t, "while :; do :; done")
	before, ok := ours()
	require.True(t, ok)
	require.Eventually(t, func() bool {
		now, ok := ours()
		return ok && now.used-before.used > busy
	}, 30*time.Second, 10*time.Millisecond)
}

// A machine may run other environments beside this one.
func TestOnlyTheProcessesOfOneEnvironmentCount(t *testing.T) {
	beside(t, "sleep 60")
	require.Eventually(t, func() bool { _, ok := look(os.Getpid(), -1, "OURS=1"); return ok }, 30*time.Second, 10*time.Millisecond)
	_, found := look(os.Getpid(), -1, "OURS=")
	require.False(t, found)
	_, found = look(os.Getpid(), -1, "URS=1")
	require.False(t, found)
}

func TestAloneNothingCanBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*window)
		defer cancel()
		require.False(t, await(ctx, ours))
	})
}

func TestIdleIsAWhileWithoutWork(t *testing.T) {
	for name, tt := range map[string]struct {
		at   func(ms int64) sample
		want time.Duration
	}{
		"nothing ever":         {func(int64) sample { return sample{} }, window},
		"work for two":         {func(ms int64) sample { return sample{used: time.Duration(min(ms, 2000)) * time.Millisecond} }, 2*time.Second + window},
		"some for each look":   {func(ms int64) sample { return sample{used: time.Duration(ms) * time.Millisecond / 10} }, window},
		"a disk for two":       {func(ms int64) sample { return sample{blocked: ms <= 2000} }, 2*time.Second + window},
		"one that ends":        {func(ms int64) sample { return sample{used: time.Duration(max(0, 2000-ms)) * time.Hour} }, 2*time.Second + window},
		"busy to the very end": {func(ms int64) sample { return sample{used: time.Duration(ms) * time.Millisecond} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
				defer cancel()
				idle := await(ctx, func() (sample, bool) {
					s := tt.at(time.Since(began).Milliseconds())
					s.at = time.Now()
					return s, true
				})
				require.Equal(t, tt.want > 0, idle)
				if idle {
					require.Equal(t, tt.want, time.Since(began))
				}
			})
		})
	}
}

func TestNamesOfProcessesMayHoldAnything(t *testing.T) {
	p, ok := parse([]byte("42 (a) R 9 (b) S 7 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 1 1 1"))
	require.True(t, ok)
	require.Equal(t, process{pid: 42, parent: 7, state: 'S', used: time.Second}, p)
	for _, line := range []string{"", "42", "42 (a", "42 (a) S 7", "42 (a) S x 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20"} {
		_, ok := parse([]byte(line))
		require.False(t, ok, line)
	}
}
