package relay

import "time"

// sweepEvery is how often the relay looks for tunnels whose connection to Envoy is closed.
const sweepEvery = time.Second

// sweep runs until the relay stops. A tunnel's goroutines notice that Envoy's connection is closed when they read from it or
// write to it. While the peer takes no bytes and sends none they do neither, and the sweep ends the tunnel.
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

// sweep ends tunnels that the last sweep already found closed. In between the peer may still take what it was sent.
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
