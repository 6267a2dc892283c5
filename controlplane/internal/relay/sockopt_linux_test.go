package relay

import (
	"maps"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What carried a request while the network was lost may lead nowhere, and only the kernel finds out.
func TestWhatIsOlderThanTheLossIsWatched(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBed(t, plain)
	first, peer := b.up("a")
	exchangeBoth(t, b.envoy("a"), peer, "old")
	require.NoError(t, first.Close())
	b.eventually(func() bool { return b.events.has("lost a") }, "not lost")
	fresh := b.tunnel("a")
	b.control("a")
	b.eventually(func() bool { return b.Stats().Up == 1 }, "not up again")
	exchangeBoth(t, b.envoy("a"), fresh, "new")
	b.eventually(func() bool {
		return maps.Equal(limits(t, b.find("a")), map[bool]time.Duration{true: proof, false: 0})
	}, "the old one has no limit, or the new one has")
}

// limits are those on unanswered data of tunnels that carry something, by whether they are older than the loss.
func limits(t *testing.T, i *instance) map[bool]time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	found := map[bool]time.Duration{}
	for tunnel := range i.spliced {
		found[tunnel.conn.serial <= i.lostAt] = userTimeout(t, tunnel.conn.tcp)
	}
	return found
}

func userTimeout(t *testing.T, c *net.TCPConn) time.Duration {
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	var ms int
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) {
		ms, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout)
	}))
	require.NoError(t, failed)
	return time.Duration(ms) * time.Millisecond
}
