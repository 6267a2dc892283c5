package procstat

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine describes the machine that a measurement ran on, without the host's name.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // usable by this process
	Kernel string `json:"kernel"`
	Memory int64  `json:"memory_bytes"`
	Go     string `json:"go"`
	Arch   string `json:"arch"`
}

// ThisMachine describes the machine that runs the caller.
func ThisMachine() (Machine, error) {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version(), Arch: runtime.GOARCH}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return Machine{}, err
	}
	m.Kernel = strings.TrimSpace(string(release))
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Machine{}, err
	}
	if m.Memory, err = kilobytes(memory, "MemTotal"); err != nil {
		return Machine{}, err
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return Machine{}, err
	}
	if model := modelName(string(cpu)); model != "" {
		m.CPU = model
	}
	return m, nil
}

// modelName returns the processor's model; empty where cpuinfo has no such line, as on most arm64 machines.
func modelName(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// A Clock is the CPU time of the whole machine since it started.
type Clock struct {
	Busy   time.Duration `json:"busy_ns"`   // of all cores, every process
	Stolen time.Duration `json:"stolen_ns"` // a core had work, and the host gave its time to another machine
}

// Now reads the machine's clock.
func Now() (Clock, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Clock{}, err
	}
	return parseClock(string(text))
}

// Sub returns the CPU time since an earlier reading.
func (c Clock) Sub(earlier Clock) Clock {
	return Clock{Busy: c.Busy - earlier.Busy, Stolen: c.Stolen - earlier.Stolen}
}

// StolenShare returns the share of the wanted CPU time that the host took, 0 to 1. Above a few percent, latencies and CPU times
// depend on the host's other guests more than on what is measured.
func (c Clock) StolenShare() float64 {
	if c.Busy+c.Stolen == 0 {
		return 0
	}
	return float64(c.Stolen) / float64(c.Busy+c.Stolen)
}

// parseClock reads the first line of /proc/stat: cpu user nice system idle iowait irq softirq steal ...
func parseClock(stat string) (c Clock, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return Clock{}, errors.New("/proc/stat: no line of all cores")
	}
	for n, into := range map[int]*time.Duration{
		1: &c.Busy, 2: &c.Busy, 3: &c.Busy, 6: &c.Busy, 7: &c.Busy, 8: &c.Stolen,
	} {
		ticks, err := strconv.ParseInt(fields[n], 10, 64)
		if err != nil {
			return Clock{}, fmt.Errorf("/proc/stat: %w", err)
		}
		*into += time.Duration(ticks) * tick
	}
	return c, nil
}
