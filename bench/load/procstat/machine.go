package procstat

import (
	"os"
	"runtime"
	"strings"
)

// Machine says what a measurement ran on, without naming the host.
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

// modelName is empty where cpuinfo has no such line, as on most arm64 machines.
func modelName(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
