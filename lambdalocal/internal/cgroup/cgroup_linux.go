package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A controller is one of the kernel's, in one of its versions.
type controller struct {
	resource string
	name     string    // the kernel's
	limits   []string  // files that take the limit; all but the first may be missing
	unused   string    // file of a neighbouring resource that is limited to nothing
	stat     [2]string // file and key of what is held now
	oom      [2]string // file and key of how often the kernel killed for want of it
}

// first and second are the controllers of the two versions.
var (
	first = []controller{
		{
			resource: Memory, name: "memory", limits: []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"},
			stat: [2]string{"memory.stat", "total_rss"}, oom: [2]string{"memory.oom_control", "oom_kill"},
		},
		{resource: Processes, name: "pids", limits: []string{"pids.max"}},
	}
	second = []controller{
		{
			resource: Memory, name: "memory", limits: []string{"memory.max"}, unused: "memory.swap.max",
			stat: [2]string{"memory.stat", "anon"}, oom: [2]string{"memory.events", "oom_kill"},
		},
		{resource: Processes, name: "pids", limits: []string{"pids.max"}},
	}
)

// A branch is a controller and the folder in which groups for it are made.
type branch struct {
	controller
	dir    string
	second bool // of version 2, all in one tree
}

// A Host is where groups are made. Its methods may be called from any goroutine.
type Host struct {
	branches []branch
	home     []*os.File // take threads back into this process's own groups, those of version 1
	undo     []func()   // what Open did, the last first
}

// Open finds out where this process may make groups. The error says which resources cannot be limited, and why; the Host limits
// the others. Close must be called in any case.
func Open() (*Host, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return &Host{}, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return &Host{}, err
	}
	h := &Host{}
	name := fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), opened.Add(1))
	why := map[string]error{Memory: errNone, Processes: errNone}
	trees := findTrees(mounts, own)
	h.openSecond(trees.second, name, why)
	h.openFirst(trees.first, name, why)
	var errs []error
	for _, resource := range []string{Memory, Processes} {
		if err := why[resource]; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", resource, err))
		}
	}
	return h, errors.Join(errs...)
}

var errNone = errors.New("no control group here counts them")

// openSecond opens the controllers of version 2. It removes the resources that these can limit from why.
func (h *Host) openSecond(base, name string, why map[string]error) {
	if base == "" {
		return
	}
	d := &delegation{base: base, dir: filepath.Join(base, name), pid: os.Getpid(), names: namesOf(second)}
	h.undo = append(h.undo, d.undo)
	err := d.make()
	for _, c := range second {
		switch {
		case err != nil && !errors.Is(err, errNone):
			why[c.resource] = err
		case has(filepath.Join(d.dir, subtree), c.name):
			h.branches = append(h.branches, branch{c, d.dir, true})
			delete(why, c.resource)
		}
	}
}

// openFirst opens controllers of version 1 for the resources that are left in why, and removes those that these can limit.
func (h *Host) openFirst(bases map[string]string, name string, why map[string]error) {
	for _, c := range first {
		base := bases[c.name]
		if why[c.resource] == nil || base == "" {
			continue
		}
		sweep(base)
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			why[c.resource] = err
			continue
		}
		h.undo = append(h.undo, func() { _ = os.Remove(dir) })
		home, err := os.OpenFile(filepath.Join(base, threads), os.O_WRONLY, 0)
		if err != nil {
			why[c.resource] = err
			continue
		}
		h.home = append(h.home, home)
		h.branches = append(h.branches, branch{c, dir, false})
		delete(why, c.resource)
	}
}

// prefix is how the names of our folders begin; this process's id follows, and how many times it has opened one.
const prefix = "lambdalocal-"

var opened atomic.Int64

// sweep removes the folders of former processes that were killed.
func sweep(base string) {
	left, _ := filepath.Glob(filepath.Join(base, prefix+"*"))
	for _, dir := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if _, err := os.Stat("/proc/" + pid); err == nil {
			continue
		}
		groups, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, group := range append(groups, dir) {
			_ = unix.Rmdir(group) // fails if processes are in it
		}
	}
}

func namesOf(all []controller) (names []string) {
	for _, c := range all {
		names = append(names, c.name)
	}
	return names
}

// Close removes what Open made. All groups must be closed.
func (h *Host) Close() {
	closeAll(h.home)
	h.home = nil
	for _, undo := range slices.Backward(h.undo) {
		undo()
	}
	h.undo = nil
}

// Limits tells whether groups limit the resource.
func (h *Host) Limits(resource string) bool {
	_, ok := h.branch(resource)
	return ok
}

func (h *Host) branch(resource string) (branch, bool) {
	for _, b := range h.branches {
		if b.resource == resource {
			return b, true
		}
	}
	return branch{}, false
}

// A Group is what the processes of one environment are in. Its methods may be called from any goroutine.
type Group struct {
	host   *Host
	name   string
	folder *os.File     // of version 2; nil: there is none
	doors  []*os.File   // take threads in, in version 1
	kills  atomic.Int64 // that OutOfMemory has told of
	close  sync.Once
}

// New makes a group. Close must be called.
func (h *Host) New(name string, l Limits) (*Group, error) {
	g := &Group{host: h, name: name}
	if err := g.make(l); err != nil {
		g.Close()
		return nil, fmt.Errorf("control group: %w", err)
	}
	return g, nil
}

func (g *Group) make(l Limits) error {
	for _, dir := range g.dirs() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, b := range g.host.branches {
		limit := l.Memory
		if b.resource == Processes {
			limit = int64(l.Processes)
		}
		dir := filepath.Join(b.dir, g.name)
		if err := errors.Join(b.limit(dir, limit), g.open(b, dir)); err != nil {
			return err
		}
	}
	return nil
}

// open opens what processes begin through. All controllers of version 2 share one folder.
func (g *Group) open(b branch, dir string) (err error) {
	switch {
	case !b.second:
		door, err := os.OpenFile(filepath.Join(dir, threads), os.O_WRONLY, 0)
		if err == nil {
			g.doors = append(g.doors, door)
		}
		return err
	case g.folder == nil:
		g.folder, err = os.Open(dir)
	}
	return err
}

// threads is the file of a group of version 1 that takes a thread in; 0 is the one that writes.
const threads = "tasks"

// Folder is the group's in version 2, for processes that are to begin in it. Nil: there is none.
func (g *Group) Folder() *os.File { return g.folder }

// Within has the calling thread, which must not be the process's first, in the group of version 1 while start runs: a process that
// start begins, begins there. A thread that moves itself waits for nobody. To move a process that is there takes the kernel some
// milliseconds, until all processors have heard of it.
func (g *Group) Within(start func() error) error {
	defer g.host.leave()
	for _, door := range g.doors {
		if _, err := door.WriteString("0"); err != nil {
			return fmt.Errorf("control group: %w", err)
		}
	}
	return start()
}

// leave moves the calling thread back. One that has to stay ends with the process that it started.
func (h *Host) leave() {
	for _, home := range h.home {
		_, _ = home.WriteString("0")
	}
}

func (c controller) limit(dir string, limit int64) error {
	if limit == 0 {
		return nil
	}
	for n, file := range c.limits {
		err := write(filepath.Join(dir, file), strconv.FormatInt(limit, 10))
		if err != nil && (n == 0 || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	if c.unused != "" {
		_ = write(filepath.Join(dir, c.unused), "0") // there is no such file without swap
	}
	return nil
}

// dirs are the group's folders, one for each tree.
func (g *Group) dirs() (dirs []string) {
	seen := map[string]bool{}
	for _, b := range g.host.branches {
		if dir := filepath.Join(b.dir, g.name); !seen[dir] {
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Memory is the anonymous memory of the processes together, in bytes. It returns false if the kernel does not count it.
func (g *Group) Memory() (int64, bool) {
	b, ok := g.host.branch(Memory)
	if !ok {
		return 0, false
	}
	return value(filepath.Join(b.dir, g.name, b.stat[0]), b.stat[1])
}

// OutOfMemory tells whether the kernel has killed one of the processes for want of memory since the last call.
func (g *Group) OutOfMemory() bool {
	b, ok := g.host.branch(Memory)
	if !ok {
		return false
	}
	times, _ := value(filepath.Join(b.dir, g.name, b.oom[0]), b.oom[1])
	return times > g.kills.Swap(times)
}

// Freeze stops all processes until Thaw, also those that have left the process that started them.
func (g *Group) Freeze() {
	stopped := map[int]bool{}
	for more := true; more; { // what is not stopped yet may have started others meanwhile
		more = false
		for _, pid := range g.processes() {
			if !stopped[pid] {
				_ = unix.Kill(pid, unix.SIGSTOP)
				stopped[pid], more = true, true
			}
		}
	}
}

// Thaw lets what is frozen go on.
func (g *Group) Thaw() {
	for _, pid := range g.processes() {
		_ = unix.Kill(pid, unix.SIGCONT)
	}
}

// Kill ends all processes, frozen or not, and returns when none is left.
func (g *Group) Kill() {
	g.Freeze() // what is stopped starts no more
	until := time.Now().Add(patience)
	for pids := g.processes(); len(pids) > 0 && time.Now().Before(until); pids = g.processes() {
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

func (g *Group) processes() []int {
	dirs := g.dirs()
	if len(dirs) == 0 {
		return nil
	}
	return processes(dirs[0])
}

// patience bounds how long processes that were killed are waited for.
const patience = 2 * time.Second

// Close kills what is left in the group, and removes it.
func (g *Group) Close() { g.close.Do(g.remove) }

func (g *Group) remove() {
	closeAll(append(g.doors, g.folder))
	g.Kill()
	until := time.Now().Add(patience)
	for _, dir := range g.dirs() {
		for unix.Rmdir(dir) == unix.EBUSY && time.Now().Before(until) {
			time.Sleep(time.Millisecond) // who ends is in it for a moment
		}
	}
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close() // of nil, too
	}
}

// processes are those in a group. This one, of which a thread may be there, is left out.
func processes(dir string) (pids []int) {
	text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for word := range bytes.FieldsSeq(text) {
		if pid, err := strconv.Atoi(string(word)); err == nil && pid > 0 && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// write writes to an existing file; the kernel does not let one be created there.
func write(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// has tells whether the file lists all words.
func has(path string, words ...string) bool {
	text, err := os.ReadFile(path)
	found := strings.Fields(string(text))
	for _, word := range words {
		if err != nil || !slices.Contains(found, word) {
			return false
		}
	}
	return true
}

// value is the number behind a key, of which there is one a line.
func value(path, key string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if word, number, ok := strings.Cut(lines.Text(), " "); ok && word == key {
			n, err := strconv.ParseInt(number, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
