package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/door"
)

// Limits of strangers; see package door.
const (
	maxStrangers  = 8192
	strangersPart = 3 // strangers get one in strangersPart of the file descriptors that the process may have
	// addressBegun bounds the handshakes of one address that have begun: about a second of CPU. Slow peers, for example
	// thousands that share few cores, need that many.
	addressBegun = 2048
	// Handshakes without a valid token cost a millisecond of CPU each. These limits keep them below a tenth of a core.
	addressAttempts = 256
	addressRefill   = 50
	// turnWait is how long a stranger may wait for its first turn. It is longer than a peer waits, so no peer is dropped by it.
	turnWait = 10 * time.Second
)

func newDoor() *door.Door {
	places := maxStrangers
	if files := maxDescriptors(); files > 0 {
		places = min(places, max(files/strangersPart, 1))
	}
	return door.New(door.Limits{
		Places: places, Turns: runtime.GOMAXPROCS(0), Begun: addressBegun, Attempts: addressAttempts, Refill: addressRefill,
	})
}

// receive handles a new connection, which is a stranger at first.
func (r *Relay) receive(ctx context.Context, tcp *net.TCPConn) {
	serial := r.counters.accepted.Add(1)
	visit := r.door.Enter(tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(), func() { _ = tcp.Close() })
	r.tasks.Go(func() {
		defer visit.Leave()
		switch err := awaitByte(tcp, r.silence()); {
		case err == nil:
			r.greet(ctx, tcp, visit, serial)
			return
		case !errors.Is(err, io.EOF): // a port check that closes by itself is no drop
			r.counters.drop(gaveWayOr(visit, DropSilent))
		}
		_ = tcp.Close()
	})
}

// crowded is how many times longer a connection may be silent when all places for strangers are taken.
const crowded = 6

// silence is how long a new connection may be silent. It grows with the number of strangers: closing peers that dial again at
// once costs more than keeping them, and when there are too many the oldest must go anyway.
func (r *Relay) silence() time.Duration {
	return time.Duration(float64(r.config.FirstByte) * (1 + (crowded-1)*r.door.Crowd()))
}

func gaveWayOr(visit *door.Visit, other Drop) Drop {
	if visit != nil && visit.GaveWay() {
		return DropGaveWay
	}
	return other
}

// awaitByte blocks until the first byte has come, without reading it. Meanwhile the stranger costs only the connection and a
// goroutine.
func awaitByte(tcp *net.TCPConn, limit time.Duration) error {
	if err := tcp.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	n, err := peek(tcp, func() {})
	if err == nil && n == 0 {
		err = io.EOF
	}
	return errors.Join(err, tcp.SetReadDeadline(time.Time{}))
}

// awaitTurn blocks until there is a byte to read, or the end, and the visit has a turn to read it. It gives the turn back while
// there is nothing to read.
func awaitTurn(tcp *net.TCPConn, visit *door.Visit) error {
	paused := false
	_, err := peek(tcp, func() {
		paused = true
		visit.Pause()
	})
	if err != nil || !paused {
		return err
	}
	return visit.Resume()
}

// peek blocks until there is a byte to read and returns 1, or 0 at the end. It calls wait before it blocks.
func peek(tcp *net.TCPConn, wait func()) (n int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, failed = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		if failed == syscall.EAGAIN || failed == syscall.EINTR {
			wait()
			return false
		}
		return true
	})
	return n, errors.Join(err, failed)
}
