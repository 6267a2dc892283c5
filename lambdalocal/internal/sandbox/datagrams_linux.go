package sandbox

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxFlows      = 256 // of a sandbox; datagrams beyond are lost
	flowIdle      = 30 * time.Second
	maxDatagram   = 64 << 10
	originTrailer = 128 // bytes of control messages
)

// datagrams are what leaves a sandbox by UDP: names are asked for that way. Those to ports of the loopback stay inside, but for
// port 53.
type datagrams struct {
	conn *net.UDPConn // where the rules lead them

	mu    sync.Mutex
	flows map[flow]bool
}

// A flow is between a socket inside and an address outside.
type flow struct{ from, to netip.AddrPort }

func (d *datagrams) take(f flow) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flows[f] || len(d.flows) >= maxFlows {
		return false
	}
	d.flows[f] = true
	return true
}

func (d *datagrams) forget(f flow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flows, f)
}

// listenDatagrams opens the socket of a loopback address, in the thread's network namespace.
func (b *Sandbox) listenDatagrams(address netip.Addr) error {
	conn, err := (&net.ListenConfig{Control: transparently}).ListenPacket(b.ctx, "udp", netip.AddrPortFrom(address, gatewayPort).String())
	if err != nil {
		return err
	}
	b.datagrams = append(b.datagrams, &datagrams{conn: conn.(*net.UDPConn), flows: map[flow]bool{}})
	return nil
}

// serveDatagrams begins a flow with the first datagram of each. Those that follow go to the flow's own socket.
func (b *Sandbox) serveDatagrams(d *datagrams, g Gateway) {
	buffer, control := make([]byte, maxDatagram), make([]byte, originTrailer)
	for {
		n, size, _, from, err := d.conn.ReadMsgUDPAddrPort(buffer, control)
		if err != nil {
			return // closed
		}
		f := flow{plain(from), dialled(control[:size])}
		if !f.to.IsValid() || !d.take(f) {
			continue
		}
		first := append([]byte(nil), buffer[:n]...)
		b.tasks.Go(func() {
			defer d.forget(f)
			b.carry(f, first, g)
		})
	}
}

// carry forwards a flow until neither side has said anything for a while.
func (b *Sandbox) carry(f flow, first []byte, g Gateway) {
	outside, err := g.Datagrams(b.ctx, f.to)
	if err != nil {
		return
	}
	var inside net.Conn
	err = b.inside(func() error {
		as := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(f.to), Control: transparently}
		inside, err = as.DialContext(b.ctx, "udp", f.from.String())
		return err
	})
	if err != nil {
		_ = outside.Close()
		return
	}
	end := func() { _, _ = inside.Close(), outside.Close() }
	defer context.AfterFunc(b.ctx, end)()
	_, _ = outside.Write(first)
	var directions sync.WaitGroup
	directions.Go(func() { defer end(); copyDatagrams(outside, inside) })
	directions.Go(func() { defer end(); copyDatagrams(inside, outside) })
	directions.Wait()
}

func copyDatagrams(to, from net.Conn) {
	buffer := make([]byte, maxDatagram)
	for {
		_ = from.SetReadDeadline(time.Now().Add(flowIdle))
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		_, _ = to.Write(buffer[:n])
	}
}

// dialled is where a datagram was sent to, by the control messages that came with it; invalid if they do not say.
func dialled(control []byte) netip.AddrPort {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.AddrPort{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_ORIGDSTADDR && len(m.Data) >= 8:
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(m.Data[4:8])), binary.BigEndian.Uint16(m.Data[2:]))
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_ORIGDSTADDR && len(m.Data) >= 24:
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(m.Data[8:24])), binary.BigEndian.Uint16(m.Data[2:]))
		}
	}
	return netip.AddrPort{}
}

func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
