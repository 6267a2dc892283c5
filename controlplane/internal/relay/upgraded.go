package relay

import (
	"bytes"
	"maps"
	"slices"
	"sync/atomic"
)

// A traffic is what is known of the bytes on a spliced tunnel. Looking at a clock for each buffer would cost more than the
// buffer; so buffers are counted, and whoever wants to know what is idle looks twice.
type traffic struct {
	upgrade  atomic.Bool   // Envoy speaks HTTP/1.1, which it does for upgrades only
	answered atomic.Bool   // the peer has sent something
	passed   atomic.Uint32 // buffers, both ways
	seen     uint32        // of these at the last look; guarded by inst.mu
}

// begin carries Envoy's first bytes, which tell what the tunnel is for.
func (t *tunnel) begin(in source) error {
	b, err := in.read()
	if err != nil {
		return err
	}
	t.traffic.upgrade.Store(!bytes.HasPrefix(b.bytes(), []byte("PRI")))
	return t.deliver(t.conn, b, &t.inst.relay.counters.toPeers)
}

// EndIdleUpgrades ends upgraded connections, WebSockets say, on which nothing has passed since the last call, and returns how
// many. The first call ends none.
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
			t.conn.reset() // a mere end could be half of one, and the app would go on
			t.abort()
			ended++
		}
	}
	return ended
}

// idle tells whether nothing has passed since it was last called.
func (t *traffic) idle() bool {
	passed := t.passed.Load()
	idle := passed == t.seen && passed > 0
	t.seen = passed
	return idle
}
