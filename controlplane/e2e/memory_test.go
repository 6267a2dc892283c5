package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A memory watches how far the resident memory of some processes grows.
type memory struct {
	t      *testing.T
	before map[int]int // process: KiB
}

// watchMemory starts to watch this process, in which the relay and the control plane run, Envoy, and every process of
// the site's environments.
func watchMemory(t *testing.T, s site) memory {
	t.Helper()
	m := memory{t: t, before: map[int]int{}}
	for _, pid := range append(s.processes(), os.Getpid(), s.Envoy.Pid()) {
		// 5 sets the peak back to what is resident now.
		require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0))
		m.before[pid] = statusKiB(t, pid, "VmRSS")
	}
	return m
}

// requireGrowthBelow fails the test if one of the processes was ever larger by so much.
func (m memory) requireGrowthBelow(mib int) {
	m.t.Helper()
	for pid, before := range m.before {
		growth := (statusKiB(m.t, pid, "VmHWM") - before) >> 10
		require.Less(m.t, growth, mib, "MiB more in process %d, %s", pid, commandOf(m.t, pid))
	}
}

// processes are those of the site's environments: the extensions and the app.
func (s site) processes() []int {
	var pids []int
	for _, e := range s.Lambda.Environments() {
		if e.Function == s.name {
			pids = append(pids, e.PIDs...)
		}
	}
	return pids
}

func statusKiB(t *testing.T, pid int, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(status), field+":")
	require.True(t, found, field)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return kib
}

func commandOf(t *testing.T, pid int) string {
	t.Helper()
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	require.NoError(t, err)
	return strings.ReplaceAll(string(command), "\x00", " ")
}
