package relay

import (
	"net"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A tunnel is a connection that a peer dialled, to be joined to one of Envoy's. One goroutine reads it from beginning to end.
// While the tunnel is idle it notices that the peer has left. Once it is spliced it carries the peer's bytes to Envoy.
type tunnel struct {
	conn *peerConn
	inst *instance

	envoy *net.UnixConn // guarded by inst.mu until the tunnel is spliced, then static
	open  int           // directions that still flow; guarded by inst.mu
	gone  bool          // a sweep has seen that envoy is closed; guarded by inst.mu

	traffic traffic // once spliced
}

// A waiter is a connection of Envoy's that waits for a tunnel. No goroutine waits with it.
type waiter struct {
	inst  *instance
	envoy *net.UnixConn
	due   time.Time // when it gives up; guarded by inst.mu
	timer *time.Timer
}

// giveUpLocked ends a waiter that is removed from the instance's waiting.
func (w *waiter) giveUpLocked() {
	w.timer.Stop()
	w.inst.relay.counters.waiting.Add(-1)
	w.inst.endUnserved(w.envoy)
}

// parting is how long Envoy may take to close a connection that it was told to leave. It does so at once, unless its machine has no
// time for it.
const parting = 10 * time.Second

// endUnserved ends a connection of Envoy's that no tunnel has carried. A task of the instance is running, or it has not finished.
func (i *instance) endUnserved(envoy *net.UnixConn) {
	i.relay.tasks.Go(func() { wire.EndUnserved(envoy, parting) })
}

// reserveTunnel admits one more tunnel before its 101 is sent. standTunnel or unreserveTunnel must follow.
func (i *instance) reserveTunnel() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return refuse(DropUnknownInstance, unknownInstance)
	}
	if !i.withinLocked(&i.rates.tunnels, DropTunnelsTooOften) {
		return refuse(DropTunnelsTooOften, "the instance dials tunnels that nobody uses more often than it may")
	}
	if len(i.idle)+i.reserved >= wire.MaxIdleTunnels+len(i.waiting) {
		return refuse(DropTooManyTunnels, "the instance has enough idle tunnels")
	}
	i.reserved++
	return nil
}

func (i *instance) unreserveTunnel() {
	i.mu.Lock()
	i.reserved--
	i.mu.Unlock()
}

// standTunnel puts a tunnel into service, for the oldest waiter if there is one. It takes over the connection.
func (i *instance) standTunnel(conn *peerConn) {
	t := &tunnel{conn: conn, inst: i}
	i.mu.Lock()
	i.reserved--
	if i.ended || conn.serial <= i.doubtful {
		i.rates.tunnels.Give(1)
		i.mu.Unlock()
		_ = conn.Close()
		return
	}
	if len(i.waiting) > 0 {
		w := i.waiting[0]
		i.waiting = slices.Delete(i.waiting, 0, 1)
		w.timer.Stop()
		i.relay.counters.waiting.Add(-1)
		i.spliceLocked(t, w.envoy)
	} else {
		i.idle = append(i.idle, t)
		i.relay.counters.tunnelsIdle.Add(1)
		i.restartSurplusLocked()
	}
	i.relay.tasks.Go(t.fromPeer)
	i.mu.Unlock()
	i.comeUp()
}

// accept accepts Envoy's connections until the socket is closed.
func (i *instance) accept(l *net.UnixListener) {
	for {
		envoy, err := l.AcceptUnix()
		if err == nil {
			i.join(envoy)
			continue
		}
		if !i.relay.pauseAccept(err) {
			return
		}
	}
}

// join splices a connection of Envoy's to the oldest idle tunnel, or lines it up for the next one.
func (i *instance) join(envoy *net.UnixConn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.ended:
		i.endUnserved(envoy)
	case len(i.idle) > 0:
		t := i.idle[0]
		i.idle = slices.Delete(i.idle, 0, 1)
		i.relay.counters.tunnelsIdle.Add(-1)
		i.restartSurplusLocked()
		i.spliceLocked(t, envoy)
	case len(i.waiting) >= maxWaiting:
		i.relay.counters.drop(DropTooManyWaiting)
		i.endUnserved(envoy)
	default:
		w := &waiter{inst: i, envoy: envoy}
		i.waiting = append(i.waiting, w)
		i.relay.counters.waiting.Add(1)
		w.due = time.Now().Add(i.relay.config.TunnelWait)
		w.timer = time.AfterFunc(i.relay.config.TunnelWait, w.expire)
	}
}

// restartSurplusLocked makes idle tunnels beyond the first close after surplusFor from now.
func (i *instance) restartSurplusLocked() {
	switch {
	case len(i.idle) < 2:
	case i.surplus == nil:
		i.surplus = time.AfterFunc(surplusFor, i.closeSurplus)
	default:
		i.surplus.Reset(surplusFor)
	}
}

func (i *instance) closeSurplus() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.idle) > 1 {
		last := len(i.idle) - 1
		i.rates.tunnels.Give(1)
		i.relay.counters.tunnelsIdle.Add(-1)
		_ = i.idle[last].conn.Close() // its goroutine ends with it
		i.idle = i.idle[:last]
	}
}

// stillFor is how late a timer must be to show that the process has stalled.
const stillFor = 500 * time.Millisecond

// expire gives the waiter up. If the process has stalled the tunnel may have been dialled meanwhile, so the wait begins anew.
func (w *waiter) expire() {
	i := w.inst
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.Index(i.waiting, w)
	if late := time.Since(w.due); at >= 0 && late > stillFor {
		w.due = w.due.Add(late + i.relay.config.TunnelWait)
		w.timer.Reset(i.relay.config.TunnelWait)
		at = -1
	}
	if at >= 0 {
		i.waiting = slices.Delete(i.waiting, at, at+1)
		i.relay.counters.drop(DropNoTunnel)
		w.giveUpLocked()
	}
}

// partner returns Envoy's connection for a tunnel's first bytes or its end. It is nil if the tunnel was idle; then the tunnel is
// removed from the idle ones.
func (i *instance) partner(t *tunnel) *net.UnixConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	if at := slices.Index(i.idle, t); at >= 0 {
		i.idle = slices.Delete(i.idle, at, at+1)
		i.relay.counters.tunnelsIdle.Add(-1)
	}
	return t.envoy
}

// proof is how long a doubtful tunnel may leave a keepalive probe, and later data, unanswered.
const proof = 5 * time.Second

// doubtLocked checks the tunnels up to that serial number, because the peer has lost its network and come back, and some of them
// may be dead. It closes idle ones, since the peer dials others. It probes spliced ones at once. After proof they also get a
// limit on unanswered data, which tunnels otherwise do not have (see watchTunnel). It comes later because the kernel counts from
// the last byte that it heard, which may be longer ago than the limit.
func (i *instance) doubtLocked(last uint64) {
	i.doubtful = last // also for those whose handshake ends later
	i.idle = slices.DeleteFunc(i.idle, func(t *tunnel) bool {
		if t.conn.serial > last {
			return false
		}
		i.rates.tunnels.Give(1)
		i.relay.counters.tunnelsIdle.Add(-1)
		_ = t.conn.Close() // its goroutine ends with it
		return true
	})
	for t := range i.spliced {
		if t.conn.serial <= last {
			_ = t.conn.tcp.SetKeepAliveConfig(net.KeepAliveConfig{
				Enable: true, Idle: time.Second, Interval: time.Second, Count: int(proof / time.Second),
			})
		}
	}
	stopTimers(i.doubt)
	i.doubt = time.AfterFunc(proof, func() { i.limitOlder(last) })
}

// limitOlder bounds how long data on the tunnels up to that serial number may stay unanswered.
func (i *instance) limitOlder(last uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t := range i.spliced {
		if t.conn.serial <= last {
			_ = setUserTimeout(t.conn.tcp, proof)
		}
	}
}
