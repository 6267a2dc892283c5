package sandbox

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// portsInterval is how long after a server of the machine has begun to listen sandboxes find it.
const portsInterval = 50 * time.Millisecond

// A watch tells all sandboxes on which ports of its loopback the machine listens: what is dialled there leaves, and on all
// others it is refused inside, as it would be outside.
type watch struct {
	stop  chan struct{}
	ended sync.WaitGroup

	mu             sync.Mutex
	ports4, ports6 []uint16 // sorted
	members        map[*Sandbox]bool
}

func newWatch() *watch {
	w := &watch{stop: make(chan struct{}), members: map[*Sandbox]bool{}}
	w.ended.Go(w.run)
	return w
}

func (w *watch) run() {
	tick := time.NewTicker(portsInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.refresh()
		case <-w.stop:
			return
		}
	}
}

func (w *watch) close() {
	close(w.stop)
	w.ended.Wait()
}

// join tells a new sandbox all that is open now.
func (w *watch) join(b *Sandbox) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookLocked()
	w.members[b] = true
	w.tellLocked(b)
}

func (w *watch) leave(b *Sandbox) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.members, b)
}

func (w *watch) refresh() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.members) == 0 {
		return
	}
	w.lookLocked()
	for member := range w.members {
		w.tellLocked(member)
	}
}

// lookLocked asks the kernel. What listens on all addresses of IPv6 mostly does so on those of IPv4.
func (w *watch) lookLocked() {
	all4, err4 := listening(unix.AF_INET)
	all6, err6 := listening(unix.AF_INET6)
	if err4 != nil || err6 != nil {
		return // what is known will do
	}
	var ports4, ports6 []uint16
	for _, s := range all4 {
		if s.address[0] == 127 || s.address == [16]byte{} {
			ports4 = append(ports4, s.port)
		}
	}
	for _, s := range all6 {
		switch s.address {
		case [16]byte{}:
			ports4, ports6 = append(ports4, s.port), append(ports6, s.port)
		case [16]byte{15: 1}:
			ports6 = append(ports6, s.port)
		}
	}
	w.ports4, w.ports6 = distinct(ports4), distinct(ports6)
}

func distinct(ports []uint16) []uint16 {
	slices.Sort(ports)
	return slices.Compact(ports)
}

// tellLocked brings a sandbox's rules up to date.
func (w *watch) tellLocked(b *Sandbox) {
	for _, f := range []struct {
		set   string
		known *[]uint16
		now   []uint16
	}{{portsOf4, &b.known4, w.ports4}, {portsOf6, &b.known6, w.ports6}} {
		added, removed := difference(f.now, *f.known), difference(*f.known, f.now)
		if b.rules.update(f.set, added, removed) == nil {
			*f.known = f.now
		}
	}
}

// difference are the ports of the first list that are not in the second; both are sorted.
func difference(of, without []uint16) (rest []uint16) {
	for _, port := range of {
		if _, found := slices.BinarySearch(without, port); !found {
			rest = append(rest, port)
		}
	}
	return rest
}

// A listener is a socket of the machine.
type listener struct {
	address [16]byte // of IPv4 the first four
	port    uint16
}

// Sizes and places of linux/inet_diag.h.
const (
	diagRequest, diagAnswer   = 56, 72
	diagSourcePort, diagPlace = 4, 8 // of the answer
	stateListen               = 10
)

// listening asks the kernel for the sockets of a family that listen, in the network namespace of the caller's thread.
func listening(family byte) (all []listener, err error) {
	fd, err := netlink(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	request := make([]byte, diagRequest)
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], 1<<stateListen)
	m := message{unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP, request}
	if err := unix.Sendto(fd, m.encode(1), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	err = receive(fd, func(r received) bool {
		if r.kind == unix.SOCK_DIAG_BY_FAMILY && len(r.payload) >= diagAnswer {
			l := listener{port: binary.BigEndian.Uint16(r.payload[diagSourcePort:])}
			copy(l.address[:], r.payload[diagPlace:])
			all = append(all, l)
		}
		return r.kind == unix.NLMSG_DONE || r.kind == unix.NLMSG_ERROR
	})
	return all, err
}
