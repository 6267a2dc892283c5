// Package procstat reads the CPU time and the memory of processes from /proc, and describes the machine. Linux only.
package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc/<pid>/stat. The kernel's USER_HZ is 100 on every architecture that Go runs on.
const tick = time.Second / 100

// Usage is the CPU time of a process since its start, and the memory that it holds now.
type Usage struct {
	CPU     time.Duration `json:"cpu_ns"` // user and system time of all its threads, ended ones included; steps of 10 ms
	RSS     int64         `json:"rss_bytes"`
	PSS     int64         `json:"pss_bytes"` // shared pages divided by their sharers, so that processes can be added up
	Threads int           `json:"threads"`
}

// Add returns the sum of two processes. Only PSS adds up exactly; RSS counts shared pages twice.
func (u Usage) Add(v Usage) Usage {
	return Usage{CPU: u.CPU + v.CPU, RSS: u.RSS + v.RSS, PSS: u.PSS + v.PSS, Threads: u.Threads + v.Threads}
}

// Read returns the usage of one process, which must belong to the caller's user.
func Read(pid int) (Usage, error) {
	u, err := read("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return u, nil
}

// ReadAll returns the summed usage of processes. All of them must be alive.
func ReadAll(pids ...int) (Usage, error) {
	var sum Usage
	for _, pid := range pids {
		u, err := Read(pid)
		if err != nil {
			return Usage{}, err
		}
		sum = sum.Add(u)
	}
	return sum, nil
}

func read(dir string) (Usage, error) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Usage{}, err
	}
	u, err := parseStat(stat)
	if err != nil {
		return Usage{}, fmt.Errorf("stat: %w", err)
	}
	rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return Usage{}, err
	}
	if u.RSS, err = kilobytes(rollup, "Rss"); err != nil {
		return Usage{}, fmt.Errorf("smaps_rollup: %w", err)
	}
	if u.PSS, err = kilobytes(rollup, "Pss"); err != nil {
		return Usage{}, fmt.Errorf("smaps_rollup: %w", err)
	}
	return u, nil
}

// Positions of fields in /proc/<pid>/stat, counted from the one after the command's name.
const (
	fieldUserTime   = 11
	fieldSystemTime = 12
	fieldThreads    = 17
)

// parseStat reads the CPU time. It begins after the last parenthesis, because the command's name may hold spaces and parentheses.
func parseStat(stat []byte) (Usage, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return Usage{}, errors.New("no command name")
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) <= fieldThreads {
		return Usage{}, fmt.Errorf("%d fields after the command name, want more than %d", len(fields), fieldThreads)
	}
	user, err1 := strconv.ParseInt(fields[fieldUserTime], 10, 64)
	system, err2 := strconv.ParseInt(fields[fieldSystemTime], 10, 64)
	threads, err3 := strconv.Atoi(fields[fieldThreads])
	return Usage{CPU: time.Duration(user+system) * tick, Threads: threads}, errors.Join(err1, err2, err3)
}

// kilobytes finds a line such as "Pss:   1234 kB" and returns its value in bytes.
func kilobytes(file []byte, key string) (int64, error) {
	for line := range strings.Lines(string(file)) {
		name, value, _ := strings.Cut(line, ":")
		if name != key {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", key, err)
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("no line %q", key)
}
