package idle

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// jiffy is the unit of processor time in /proc: USER_HZ is 100 wherever Linux runs.
const jiffy = 10 * time.Millisecond

// A process is a line of /proc/PID/stat.
type process struct {
	pid, parent int
	state       byte
	used        time.Duration // by it and by its children that have ended
}

// look adds up the processes below parent that Await means, without self. ok is false if there is none.
func look(parent, self int, mark string) (now sample, ok bool) {
	now.at = time.Now()
	for _, p := range group(parent, mark) {
		if p.pid != self {
			ok = true
			now.used += p.used
			now.blocked = now.blocked || p.state == 'D'
		}
	}
	return now, ok
}

// Group lists the processes that Await means, this one included.
func Group(mark string) (pids []int) {
	for _, p := range group(os.Getppid(), mark) {
		pids = append(pids, p.pid)
	}
	return pids
}

// group lists the children of parent that are marked, and all that these have started.
func group(parent int, mark string) (all []process) {
	children := map[int][]process{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // has no error for this pattern
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if p, ok := parse(text); ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	below := slices.DeleteFunc(children[parent], func(p process) bool { return !marked(p.pid, mark) })
	for len(below) > 0 {
		p := below[0]
		below = append(below[1:], children[p.pid]...)
		delete(children, p.pid)
		all = append(all, p)
	}
	return all
}

// marked tells whether a process has the mark and this process's network. The network counts because environments that each have
// one of their own may all have the same mark. What cannot be read counts as the same.
func marked(pid int, mark string) bool {
	of := "/proc/" + strconv.Itoa(pid)
	ours, err := os.Readlink("/proc/self/ns/net")
	theirs, unseen := os.Readlink(of + "/ns/net")
	if err == nil && unseen == nil && ours != theirs {
		return false
	}
	text, err := os.ReadFile(of + "/environ")
	return err != nil || bytes.Contains(append([]byte{0}, text...), append([]byte("\x00"+mark), 0))
}

// parse reads a line such as "42 (my app) S 1 ...". The name may hold anything, so what counts comes after its last
// parenthesis.
func parse(line []byte) (process, bool) {
	head, rest, ok := bytes.Cut(line, []byte(" ("))
	end := bytes.LastIndex(rest, []byte(") "))
	if !ok || end < 0 {
		return process{}, false
	}
	fields := bytes.Fields(rest[end+2:])
	if len(fields) < 15 {
		return process{}, false
	}
	p := process{state: fields[0][0]}
	var errs [6]error
	p.pid, errs[0] = strconv.Atoi(string(head))
	p.parent, errs[1] = strconv.Atoi(string(fields[1]))
	for i, field := range fields[11:15] { // user and system time, and those of ended children
		var n int64
		n, errs[2+i] = strconv.ParseInt(string(field), 10, 64)
		p.used += time.Duration(n) * jiffy
	}
	for _, err := range errs {
		if err != nil {
			return process{}, false
		}
	}
	return p, true
}
