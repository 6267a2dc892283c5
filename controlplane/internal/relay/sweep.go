package relay

import "time"

// sweepEvery is how often the relay looks for tunnels that lead to nobody.
const sweepEvery = time.Second

// sweep runs until the relay stops. A tunnel's goroutines see that Envoy's connection is gone when they read it, or write to
// it. They do neither while the peer takes no bytes, or has none: then the sweep ends the tunnel.
func (r *Relay) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.stopped:
			return
		case <-ticker.C:
			for _, i := range r.list() {
				i.sweep()
			}
		}
	}
}

// sweep gives the peer from one look to the next to take what it was sent.
func (i *instance) sweep() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t := range i.spliced {
		switch {
		case !hungUp(t.envoy):
		case t.gone:
			t.conn.reset()
			t.abort()
		default:
			t.gone = true
		}
	}
}
