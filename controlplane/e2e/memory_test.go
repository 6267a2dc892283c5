package e2e_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A memory watches how much more some processes need for a while.
type memory struct {
	t      *testing.T
	before map[int]int // resident KiB of each process
	heap   uint64      // of this process
	most   chan uint64 // receives the largest heap after stop
	stop   chan struct{}
}

// watchMemory starts to watch Envoy, every process of the site's environments, and the heap of this process, in which the
// relay and the control plane run beside the tests. (What is resident here is mostly the race detector's.)
func watchMemory(t *testing.T, s site) memory {
	t.Helper()
	m := memory{t: t, before: map[int]int{}, most: make(chan uint64, 1), stop: make(chan struct{})}
	for _, pid := range append(s.processes(), s.Envoy.Pid()) {
		// 5 sets the peak back to what is resident now.
		require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0))
		m.before[pid] = statusKiB(t, pid, "VmRSS")
	}
	runtime.GC()
	m.heap = heap()
	go m.watchHeap()
	return m
}

func (m memory) watchHeap() {
	most := uint64(0)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		most = max(most, heap())
		select {
		case <-tick.C:
		case <-m.stop:
			m.most <- most
			return
		}
	}
}

// heap returns the bytes of objects, dead ones that are not yet collected included.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// requireGrowthBelow fails the test if one of the processes ever needed so much more. It ends the watch.
func (m memory) requireGrowthBelow(mib int) {
	m.t.Helper()
	close(m.stop)
	require.Less(m.t, int(<-m.most>>20)-int(m.heap>>20), mib, "MiB more in the heap of this process")
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
