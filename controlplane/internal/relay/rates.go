package relay

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
)

// How often an instance may send messages and dial, per second on average and at once. PROTOCOL.md states the limits. Our peers
// stay below them: they report load at most ten times a second, and dial with pauses that grow to a second. The bursts are for a
// relay that has stalled, and finds messages and dials waiting.
const (
	messagesPerSecond, messagesAtOnce = 20, 600
	streamsPerSecond, streamsAtOnce   = 2, 20
	tunnelsPerSecond, tunnelsAtOnce   = 5, 64 // tunnels that neither Envoy used nor the relay closed
)

// rates are the buckets of one instance, guarded by its mu.
type rates struct {
	messages, streams, tunnels bucket.Bucket
	warned                     bool
}

func newRates() rates {
	return rates{
		messages: bucket.New(messagesPerSecond, messagesAtOnce),
		streams:  bucket.New(streamsPerSecond, streamsAtOnce),
		tunnels:  bucket.New(tunnelsPerSecond, tunnelsAtOnce),
	}
}

// withinLocked takes one token, and tells whether there was one. It logs the first time that there was none.
func (i *instance) withinLocked(b *bucket.Bucket, drop Drop) bool {
	if b.Try(time.Now()) {
		return true
	}
	if !i.rates.warned {
		i.rates.warned = true
		i.log.WithField("drop", drop.String()).Warn("the peer does something more often than it may; this is said once")
	}
	return false
}

// mayMessage tells whether the peer may send one more control message.
func (i *instance) mayMessage() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.withinLocked(&i.rates.messages, DropMessagesTooOften)
}
