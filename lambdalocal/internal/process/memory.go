package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PeakMemory is the sum, in bytes, of the peak resident memory of the leader and its living descendants. It is zero where
// there is no /proc.
func (g *Group) PeakMemory() int64 { return sumOf(g.pid, "VmHWM:") }

// Memory is the sum of what they hold now.
func (g *Group) Memory() int64 { return sumOf(g.pid, "VmRSS:") }

func sumOf(pid int, field string) (sum int64) {
	for _, id := range append(descendants(pid), pid) {
		sum += kibibytes(id, field) << 10
	}
	return sum
}

func kibibytes(pid int, field string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	scanner := bufio.NewScanner(bytes.NewReader(status))
	for scanner.Scan() {
		if value, ok := strings.CutPrefix(scanner.Text(), field); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib
		}
	}
	return 0
}
