package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// descendants are the living children of a process, their children and so on, parents first, whatever group they are in.
// What a process left behind when it ended has another parent and is not among them. There are none where there is no /proc.
func descendants(pid int) (pids []int) {
	for _, child := range children(pid) {
		pids = append(append(pids, child), descendants(child)...)
	}
	return pids
}

func children(pid int) (pids []int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // each thread lists what it forked
	for _, thread := range threads {
		text, _ := os.ReadFile(thread)
		for _, word := range strings.Fields(string(text)) {
			if id, err := strconv.Atoi(word); err == nil {
				pids = append(pids, id)
			}
		}
	}
	return pids
}

// emigrants are the process groups other than the leader's that its descendants are in. A group is signalled at once, so
// that none of it starts more meanwhile.
func emigrants(leader int) (groups []int) {
	for _, pid := range descendants(leader) {
		group, err := syscall.Getpgid(pid)
		if err == nil && group != leader && group != syscall.Getpgrp() && !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return groups
}
