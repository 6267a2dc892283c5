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

// An environment is what lambdalocal says of one.
type environment struct {
	State     string `json:"state"`
	RequestID string `json:"request_id"`
	PIDs      []int  `json:"pids"` // the leaders of its process groups
	Port      int    `json:"port"` // that its app is told in PORT
}

// starting are the environments of a start: of its invocation, or where that is not known yet all whose app has not been invoked.
func (l lambda) starting(ctx context.Context, requestID string) (list []environment) {
	for _, e := range l.environments(ctx) {
		if requestID != "" && e.RequestID == requestID || requestID == "" && e.State == "init" {
			list = append(list, e)
		}
	}
	return list
}

func (l lambda) environments(ctx context.Context) (list []environment) {
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
	if json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&list) != nil {
		return nil
	}
	return list
}

// listening are the ports on which an environment's app listens.
func (e environment) listening() (ports []int) {
	for _, leader := range e.PIDs {
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
