package relay

import (
	"bytes"
	"maps"
	"slices"
	"sync/atomic"
)

// A traffic is what is known about the bytes on a spliced tunnel. Reading the clock for each buffer would be too expensive. So
// buffers are counted, and a tunnel is idle if the count is the same at two looks.
type traffic struct {
	upgrade  atomic.Bool   // Envoy speaks HTTP/1.1, which it does for upgrades only
	answered atomic.Bool   // the peer has sent something
	passed   atomic.Uint32 // buffers, both ways
	seen     uint32        // the value of passed at the last look; guarded by inst.mu
}

// begin carries Envoy's first bytes, which show whether it speaks HTTP/2.
func (t *tunnel) begin(in source) error {
	b, err := in.read()
	if err != nil {
		return err
	}
	t.traffic.upgrade.Store(!bytes.HasPrefix(b.bytes(), []byte("PRI")))
	return t.deliver(t.conn, b, &t.inst.relay.counters.toPeers)
}

// EndIdleUpgrades ends upgraded connections, for example WebSockets, on which no byte has passed since the last call. It returns
// how many it has ended; the first call ends none.
func (r *Relay) EndIdleUpgrades() (ended int) {
	for _, i := range r.list() {
		ended += i.endIdleUpgrades()
	}
	return ended
}

func (r *Relay) list() []*instance {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.instances))
}

func (i *instance) endIdleUpgrades() (ended int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t := range i.spliced {
		if t.traffic.idle() && t.traffic.upgrade.Load() && t.traffic.answered.Load() {
			t.conn.reset() // after an orderly end of one direction the app could go on
			t.abort()
			ended++
		}
	}
	return ended
}

// idle tells whether no byte has passed since the last call.
func (t *traffic) idle() bool {
	passed := t.passed.Load()
	idle := passed == t.seen && passed > 0
	t.seen = passed
	return idle
}
