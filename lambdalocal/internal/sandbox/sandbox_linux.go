package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/thread"
)

// gatewayPort is above those that Linux gives to connections, and hardly anybody's fixed one.
const gatewayPort = 61273

// A Host is what all sandboxes of a machine start from.
type Host struct {
	root    int // mount namespace
	network int // the machine's own namespace
	outIPv6 bool
	ports   *watch
	spares  spares
}

// Open finds out whether the kernel permits sandboxes, by making one. The error says what it does not permit. Close must be
// called.
func Open() (*Host, error) {
	h := &Host{outIPv6: leadsOut("[2001:db8::1]:9"), root: -1}
	network, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	h.network = network
	err = thread.Do(func() (err error) {
		h.root, err = newRoot()
		return err
	})
	if err != nil {
		return nil, errors.Join(err, unix.Close(network))
	}
	h.ports = newWatch()
	h.spares.start(h.blank)
	probe, err := h.New(Spec{Task: "/", TempMB: 1})
	if err != nil {
		h.Close()
		return nil, err
	}
	probe.Close()
	return h, nil
}

// leadsOut says whether the machine has a route to the address. Nothing is sent.
func leadsOut(address string) bool {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// Close is called when all sandboxes are closed.
func (h *Host) Close() {
	h.spares.close()
	h.ports.close()
	_, _ = unix.Close(h.root), unix.Close(h.network)
}

// A Sandbox is the surroundings of one environment. Its methods may be called from any goroutine, until Close.
type Sandbox struct {
	host           *Host
	mounts, net    int // namespaces
	rules          *rules
	tasks          sync.WaitGroup
	ctx            context.Context
	stop           context.CancelFunc
	listeners      []net.Listener
	datagrams      []*datagrams
	own            netip.AddrPort
	known4, known6 []uint16 // ports of the machine that the rules know; of the watch
}

// New makes a sandbox. Close must be called.
func (h *Host) New(s Spec) (*Sandbox, error) {
	b, err := h.spares.take()
	if err != nil {
		return nil, err
	}
	if err := b.furnish(s); err != nil {
		b.release()
		return nil, err
	}
	for _, l := range b.listeners {
		b.tasks.Go(func() { b.serve(l, s.Gateway) })
	}
	for _, d := range b.datagrams {
		b.tasks.Go(func() { b.serveDatagrams(d, s.Gateway) })
	}
	h.ports.join(b)
	return b, nil
}

// blank makes a sandbox that no Spec was applied to.
func (h *Host) blank() (*Sandbox, error) {
	b := &Sandbox{host: h, own: netip.MustParseAddrPort(RuntimeAPI), mounts: -1, net: -1}
	b.ctx, b.stop = context.WithCancel(context.Background())
	if err := thread.Do(b.build); err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

// furnish applies the Spec.
func (b *Sandbox) furnish(s Spec) error {
	return thread.Do(func() error {
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(b.mounts, unix.CLONE_NEWNS)); err != nil {
			return fmt.Errorf("sandbox: %w", err)
		}
		return arrange(s)
	})
}

// build makes the namespaces. It uses up the thread.
func (b *Sandbox) build() (err error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if err := unix.Setns(b.host.root, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	if b.mounts, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if b.net, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if err := configureInterface(b.own.Addr(), b.host.outIPv6); err != nil {
		return err
	}
	if b.rules, err = newRules(b.own.Addr(), gatewayPort); err != nil {
		return err
	}
	if err := b.listen(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// Enter moves the calling thread into the sandbox, for good. What it starts is in there.
func (b *Sandbox) Enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if err := errors.Join(unix.Setns(b.net, unix.CLONE_NEWNET), unix.Setns(b.mounts, unix.CLONE_NEWNS)); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return dropPrivileges()
}

// Listen opens a port inside.
func (b *Sandbox) Listen(address string) (l net.Listener, err error) {
	err = b.inside(func() error {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// Dial connects to an address inside, as a process there would.
func (b *Sandbox) Dial(ctx context.Context, address string) (conn net.Conn, err error) {
	err = b.inside(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// inside runs do in the sandbox's network namespace. The thread comes back from there.
func (b *Sandbox) inside(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(b.net, unix.CLONE_NEWNET)
		if err == nil {
			err = do()
		}
		if unix.Setns(b.host.network, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// Close ends what left through the gateway and gives the namespaces back, once the processes inside have ended.
func (b *Sandbox) Close() {
	b.host.ports.leave(b)
	b.release()
}

func (b *Sandbox) release() {
	b.stop()
	for _, l := range b.listeners {
		_ = l.Close()
	}
	for _, d := range b.datagrams {
		_ = d.conn.Close()
	}
	b.tasks.Wait()
	if b.rules != nil {
		b.rules.close()
	}
	for _, fd := range []int{b.mounts, b.net} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// listen opens the gateway's listeners, whose connections have the address that was dialled as their own. Without IPv6 there
// is none for that.
func (b *Sandbox) listen() error {
	transparent := net.ListenConfig{KeepAlive: -1, Control: transparently}
	for _, address := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
		l, err := transparent.Listen(b.ctx, "tcp", netip.AddrPortFrom(address, gatewayPort).String())
		if err != nil && address.Is4() {
			return err
		}
		if err != nil {
			continue
		}
		b.listeners = append(b.listeners, l)
		if err := b.listenDatagrams(address); err != nil {
			return err
		}
	}
	return nil
}

// transparently lets a socket have any address as its own, and learn the address that a datagram was sent to.
func transparently(network, _ string, c syscall.RawConn) (err error) {
	set := func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1), shareAddress(int(fd)),
				unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1))
			return
		}
		err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1), shareAddress(int(fd)),
			unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1))
	}
	return errors.Join(c.Control(set), err)
}

// shareAddress lets several flows from one address outside have sockets with it.
func shareAddress(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }

// serve hands the gateway what arrives.
func (b *Sandbox) serve(l net.Listener, g Gateway) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		to := plain(conn.LocalAddr().(*net.TCPAddr).AddrPort())
		b.tasks.Go(func() { g.Connection(b.ctx, conn.(*net.TCPConn), to) })
	}
}

// dropPrivileges takes from what the thread starts the capabilities that make sandboxes, where they are not root's.
func dropPrivileges() error {
	return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
}
