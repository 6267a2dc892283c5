//go:build !linux

package cgroup

import (
	"errors"
	"os"
)

// A Host is where groups are made.
type Host struct{}

// Open fails.
func Open() (*Host, error) { return &Host{}, errors.New("only Linux has control groups") }

// Close does nothing.
func (*Host) Close() {}

// Limits is false.
func (*Host) Limits(string) bool { return false }

// New makes a group that limits nothing.
func (*Host) New(string, Limits) (*Group, error) { return &Group{}, nil }

// A Group limits nothing.
type Group struct{}

// Folder is nil.
func (*Group) Folder() *os.File { return nil }

// Within runs start.
func (*Group) Within(start func() error) error { return start() }

// Freeze does nothing.
func (*Group) Freeze() {}

// Thaw does nothing.
func (*Group) Thaw() {}

// Kill does nothing.
func (*Group) Kill() {}

// Memory is not counted.
func (*Group) Memory() (int64, bool) { return 0, false }

// OutOfMemory is false.
func (*Group) OutOfMemory() bool { return false }

// Close does nothing.
func (*Group) Close() {}
