package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// subtree is the file of a group that says which controllers its children have.
const subtree = "cgroup.subtree_control"

// A delegation is a folder in a process's own group of version 2 whose children may have limits. The kernel gives children
// limits only where the group has no processes itself: then ours moves into a group beside the folder.
type delegation struct {
	base  string // the process's group
	dir   string
	pid   int
	names []string // of controllers

	undone []func() // the last first
}

// make is followed by undo, also after an error, which is errNone where the group has none of the controllers.
func (d *delegation) make() error {
	if !slices.ContainsFunc(d.names, func(name string) bool { return has(filepath.Join(d.base, "cgroup.controllers"), name) }) {
		return errNone
	}
	sweep(d.base)
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return err
	}
	if !has(filepath.Join(d.base, subtree), d.names...) {
		if err := d.hand(); err != nil {
			return err
		}
	}
	_, err := d.enable(d.dir)
	return err
}

// hand moves the process out of the group and gives the controllers to the group's children.
func (d *delegation) hand() error {
	server := d.dir + "-server"
	if err := os.Mkdir(server, 0o755); err != nil {
		return err
	}
	d.undone = append(d.undone, func() { _ = os.Remove(server) })
	if err := d.move(server); err != nil {
		return err
	}
	d.undone = append(d.undone, func() { _ = d.move(d.base) })
	enabled, err := d.enable(d.base)
	d.undone = append(d.undone, func() {
		for _, name := range enabled {
			_ = write(filepath.Join(d.base, subtree), "-"+name)
		}
	})
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: other processes are in this one's control group; systemd-run --user --scope -p Delegate=yes gives it one of its own", err)
	}
	return err
}

// enable gives the controllers that there are to the children of a group, those that have none of them yet.
func (d *delegation) enable(group string) (enabled []string, err error) {
	for _, name := range d.names {
		if !has(filepath.Join(group, "cgroup.controllers"), name) || has(filepath.Join(group, subtree), name) {
			continue
		}
		if e := write(filepath.Join(group, subtree), "+"+name); e != nil {
			err = e
			continue
		}
		enabled = append(enabled, name)
	}
	return enabled, err
}

func (d *delegation) move(group string) error {
	return write(filepath.Join(group, "cgroup.procs"), strconv.Itoa(d.pid))
}

func (d *delegation) undo() {
	_ = os.Remove(d.dir) // first: while it has the controllers nobody can take them back
	for _, undo := range slices.Backward(d.undone) {
		undo()
	}
	d.undone = nil
}
