// Package cgroup makes the kernel count and limit what the processes of one environment use together, in control groups of version
// 2 or 1. Where this process may not make such groups, Open says why.
package cgroup

// Limits are those of a group; 0 is none.
type Limits struct {
	Memory    int64 // bytes, of all that the kernel counts
	Processes int   // threads included, as the kernel counts them
}

// The resources that a group may limit.
const (
	Memory    = "memory"
	Processes = "processes"
)
