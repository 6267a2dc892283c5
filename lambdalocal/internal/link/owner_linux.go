package link

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// identifies says that identify works.
const identifies = true

// identify finds the environments that own connections, for those whose owner is not known yet. The kernel's table maps the other
// end of a connection to a socket, and /proc maps processes to their sockets.
func identify(listener net.Addr, environments []Environment, conns []*conn) {
	var unknown []*conn
	for _, c := range conns {
		if c.owner.Load() == nil {
			unknown = append(unknown, c)
		}
	}
	if len(unknown) == 0 {
		return
	}
	sockets := dialledSockets(listener.(*net.TCPAddr).AddrPort().Port())
	owners := socketOwners(environments)
	for _, c := range unknown {
		remote := c.client.RemoteAddr().(*net.TCPAddr).AddrPort()
		if owner := owners[sockets[netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())]]; owner != nil {
			c.owner.Store(owner)
		}
	}
}

// dialledSockets are the inodes of sockets of this machine that are connected to the port, by their own address.
func dialledSockets(port uint16) map[netip.AddrPort]string {
	found := map[netip.AddrPort]string{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			if local, remote, inode, ok := parseSocket(lines.Text()); ok && remote.Port() == port {
				found[local] = inode
			}
		}
		_ = file.Close()
	}
	return found
}

// parseSocket reads a line of the kernel's table: number, local and remote address, state and more, inode as the tenth.
func parseSocket(line string) (local, remote netip.AddrPort, inode string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 {
		return local, remote, "", false
	}
	local, ok = parseAddress(fields[1])
	if !ok {
		return local, remote, "", false
	}
	remote, ok = parseAddress(fields[2])
	return local, remote, fields[9], ok
}

// parseAddress reads 0100007F:1D14: words in this machine's byte order, and a port.
func parseAddress(text string) (netip.AddrPort, bool) {
	words, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(words)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), ok
}

// socketOwners maps inodes of the environments' sockets to them.
func socketOwners(environments []Environment) map[string]*Environment {
	owners := map[string]*Environment{}
	for i := range environments {
		for _, pid := range environments[i].PIDs {
			addSockets(owners, &environments[i], pid)
		}
	}
	return owners
}

// addSockets adds those of a process and its descendants.
func addSockets(owners map[string]*Environment, e *Environment, pid int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, file := range files {
		target, _ := os.Readlink(file)
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			owners[strings.TrimSuffix(inode, "]")] = e
		}
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // each thread lists what it forked
	for _, thread := range threads {
		children, _ := os.ReadFile(thread)
		for _, child := range strings.Fields(string(children)) {
			if id, err := strconv.Atoi(child); err == nil {
				addSockets(owners, e, id)
			}
		}
	}
}
