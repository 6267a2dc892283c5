package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of processor time in /proc.
const tick = time.Second / 100

// CPU is the processor time that the leader, its living descendants and those that these have waited for have used. It is zero
// where there is no /proc.
func (g *Group) CPU() (sum time.Duration) {
	for _, id := range append(descendants(g.pid), g.pid) {
		sum += used(id)
	}
	return sum
}

// used sums utime, stime, cutime and cstime.
func used(pid int) (sum time.Duration) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, ok := bytes.Cut(stat, []byte(") ")) // the name may contain anything before
	fields := bytes.Fields(after)
	if err != nil || !ok || len(fields) < 15 {
		return 0
	}
	for _, field := range fields[11:15] {
		ticks, _ := strconv.ParseInt(string(field), 10, 64)
		sum += time.Duration(ticks) * tick
	}
	return sum
}
