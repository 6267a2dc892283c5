package dev

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// listening are the ports on which the app listens in its environments.
func (l lambda) listening(ctx context.Context) (ports []int) {
	for _, leader := range l.processes(ctx) {
		for _, pid := range group(leader) {
			held := sockets(pid)
			for _, file := range []string{"tcp", "tcp6"} {
				ports = append(ports, listeners(fmt.Sprintf("/proc/%d/net/%s", pid, file), held)...)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// processes are the leaders of the process groups of all environments.
func (l lambda) processes(ctx context.Context) (pids []int) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.address+"/lambdalocal/environments", nil)
	if err != nil {
		return nil
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var environments []struct{ PIDs []int }
	if json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&environments) != nil {
		return nil
	}
	for _, e := range environments {
		pids = append(pids, e.PIDs...)
	}
	return pids
}

// group are the processes of a group.
func group(leader int) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range all {
		pid, _ := strconv.Atoi(filepath.Base(path))
		if of, err := syscall.Getpgid(pid); err == nil && of == leader {
			pids = append(pids, pid)
		}
	}
	return pids
}

// sockets are the inodes of a process's sockets.
func sockets(pid int) map[string]bool {
	held := map[string]bool{}
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, path := range all {
		target, _ := os.Readlink(path)
		if inode, found := strings.CutPrefix(target, "socket:["); found {
			held[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return held
}

// Columns of the kernel's table of sockets, and the state of those that listen.
const (
	localColumn = 1
	stateColumn = 3
	inodeColumn = 9
	listens     = "0A"
)

// listeners reads from a table of the kernel's the ports of those sockets that listen.
func listeners(file string, held map[string]bool) (ports []int) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) <= inodeColumn || fields[stateColumn] != listens || !held[fields[inodeColumn]] {
			continue
		}
		_, port, _ := strings.Cut(fields[localColumn], ":")
		if n, err := strconv.ParseUint(port, 16, 16); err == nil {
			ports = append(ports, int(n))
		}
	}
	return ports
}
