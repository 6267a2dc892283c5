// Package telemetry delivers what Lambda's Telemetry API promises: events of the platform and lines of logs, in batches, to
// the extensions that subscribed. Buffers are bounded; what does not fit is dropped and counted.
package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// earlyLimit bounds what is kept for extensions that subscribe later, in bytes.
const earlyLimit = 1 << 20

// A Hub passes the events of one environment on. Its methods may be called from any goroutine.
type Hub struct {
	dial       Dial
	log        logrus.FieldLogger
	deliveries context.Context // ends with Close
	stop       context.CancelFunc
	ended      sync.WaitGroup

	mu     sync.Mutex
	closed bool // to new subscribers
	early  []event
	size   int // of early, in bytes
	subs   map[string]*subscriber
}

// An event as it goes over the wire by each API, and its category.
type event struct {
	kind, category string
	text           json.RawMessage // nil: the Telemetry API has none of that kind
	logs           json.RawMessage // nil: the Logs API has none
}

func (e event) size() int {
	if e.category != platform {
		return len(e.text) // both are the same
	}
	return len(e.text) + len(e.logs)
}

const platform = "platform"

func newEvent(kind string, record any) event {
	category, _, _ := strings.Cut(kind, ".")
	if category != platform {
		text := encode(kind, record)
		return event{kind: kind, category: category, text: text, logs: text}
	}
	e := event{kind: kind, category: category}
	if kind != end && kind != fault && kind != logsSubscription {
		e.text = encode(kind, record)
	}
	if old := forLogs(kind, record); old != nil {
		e.logs = encode(kind, old)
	}
	return e
}

// Dial connects to a subscriber: to a host:port of the environment's own loopback.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// NewHub returns a hub without subscribers, which keeps the first events for those to come. The log is told of subscribers that
// cannot be reached.
func NewHub(dial Dial, log logrus.FieldLogger) *Hub {
	ctx, cancel := context.WithCancel(context.Background())
	return &Hub{dial: dial, log: log, deliveries: ctx, stop: cancel, subs: map[string]*subscriber{}}
}

// Emit passes an event on to whoever wants its kind, such as platform.start or function, and does not block. The record
// must be fit for JSON.
func (h *Hub) Emit(kind string, record any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed && len(h.subs) == 0 {
		return
	}
	e := newEvent(kind, record)
	for _, s := range h.subs {
		s.offer(e)
	}
	if !h.closed && h.size+e.size() <= earlyLimit {
		h.early = append(h.early, e)
		h.size += e.size()
	}
}

func encode(kind string, record any) json.RawMessage {
	text, err := json.Marshal(struct {
		Time   string `json:"time"`
		Type   string `json:"type"`
		Record any    `json:"record"`
	}{time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), kind, record})
	if err != nil {
		panic("telemetry: a record that is not fit for JSON: " + err.Error())
	}
	return text
}

// ErrOtherAPI is the answer to a name that has subscribed by the other API.
var ErrOtherAPI = errors.New("the extension has subscribed by the other API already")

// Subscribe starts deliveries, those of earlier events first. It is false if the name has a subscription, which stays.
func (h *Hub) Subscribe(name string, s Subscription) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.subs[name]; before != nil && before.logs != s.logs {
		return false, ErrOtherAPI
	} else if before != nil {
		return false, nil
	}
	sub := newSubscriber(s, h.dial, h.log.WithField("extension", name))
	for _, e := range h.early {
		sub.offer(e)
	}
	h.subs[name] = sub
	h.ended.Go(func() { sub.run(h.deliveries) })
	return true, nil
}

// Shut ends the time to subscribe: what happened before is forgotten.
func (h *Hub) Shut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.early = true, nil
}

// Flush sends what is buffered and waits for it, or for the end of ctx.
func (h *Hub) Flush(ctx context.Context) {
	h.mu.Lock()
	var flushed []<-chan struct{}
	for _, s := range h.subs {
		flushed = append(flushed, s.flush())
	}
	h.mu.Unlock()
	for _, done := range flushed {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends all deliveries and waits for their end.
func (h *Hub) Close() {
	h.Shut()
	h.stop()
	h.ended.Wait()
}
