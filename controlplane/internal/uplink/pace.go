package uplink

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
)

// A pacer bounds what one stream of a relay costs its leader. Messages that come faster are read later.
type pacer struct {
	messages, kib bucket.Bucket
}

func newPacer() *pacer {
	return &pacer{bucket.New(maxMessages, messagesAtOnce), bucket.New(maxKiB, kibAtOnce)}
}

// took accounts for a message of size bytes, and returns how long to wait before the next one is read.
func (p *pacer) took(now time.Time, size int) time.Duration {
	return max(overdraw(&p.messages, now, 1, maxMessages), overdraw(&p.kib, now, (size+1023)/1024, maxKiB))
}

// overdraw takes n tokens, even if there are fewer, and returns how long it takes until there is one again.
func overdraw(b *bucket.Bucket, now time.Time, n, perSecond int) time.Duration {
	b.Take(now, n)
	return max(0, time.Duration(1-b.Tokens(now))*time.Second/time.Duration(perSecond))
}
