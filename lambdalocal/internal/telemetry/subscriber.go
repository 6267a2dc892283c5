package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Between two tries to send a batch lies a pause, which doubles from the first to the last of these. Lambda does so, too; how long its
// pauses are it does not say.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// tooSlow is the reason of dropped events that Lambda gives.
const tooSlow = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."

// A subscriber buffers events and sends them in batches, one at a time. While a batch is on its way twice a batch may wait.
type subscriber struct {
	Subscription
	wake chan struct{} // has room for one
	http *http.Client
	dial Dial
	log  logrus.FieldLogger

	mu      sync.Mutex
	pending []json.RawMessage
	bytes   int
	since   time.Time       // of the first that is pending
	warned  bool            // of one that cannot be reached
	hurry   bool            // send without waiting for a full batch
	flushes []chan struct{} // closed when nothing is left
	lost    dropped
}

// dropped is the record of platform.logsDropped.
type dropped struct {
	Bytes   int    `json:"droppedBytes"`
	Records int    `json:"droppedRecords"`
	Reason  string `json:"reason"`
}

func newSubscriber(s Subscription, dial Dial, log logrus.FieldLogger) *subscriber {
	toSubscriber := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, s.address) }
	return &subscriber{
		Subscription: s, wake: make(chan struct{}, 1), dial: dial, log: log,
		http: &http.Client{Transport: &http.Transport{DialContext: toSubscriber}},
	}
}

// offer buffers an event, or drops it if the buffer is full.
func (s *subscriber) offer(e event) {
	text := s.text(e)
	if text == nil || !slices.Contains(s.Types, e.category) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= 2*s.maxItems || s.bytes+len(text) > 2*s.maxBytes {
		s.loseLocked(tooSlow, text)
		return
	}
	if len(s.pending) == 0 {
		s.since = time.Now()
	}
	s.pending = append(s.pending, text)
	s.bytes += len(text)
	s.wakeUp()
}

// text is the event as the subscriber gets it; nil: not at all.
func (s *subscriber) text(e event) json.RawMessage {
	switch {
	case !s.logs:
		return e.text
	case e.kind == runtimeDone && s.schema < withRuntimeDone:
		return nil
	default:
		return e.logs
	}
}

func (s *subscriber) loseLocked(reason string, events ...json.RawMessage) {
	for _, e := range events {
		s.lost.Bytes += len(e)
		s.lost.Records++
	}
	s.lost.Reason = reason
}

func (s *subscriber) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// flush hurries; the channel is closed when nothing is left.
func (s *subscriber) flush() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := make(chan struct{})
	s.hurry = true
	s.flushes = append(s.flushes, done)
	s.wakeUp()
	return done
}

// run sends batches until ctx ends.
func (s *subscriber) run(ctx context.Context) {
	defer s.http.CloseIdleConnections()
	for ctx.Err() == nil {
		if batch, wait := s.take(); batch != nil {
			s.deliver(ctx, batch)
		} else {
			s.sleep(ctx, wait)
		}
	}
}

// deliver sends the batch until it has arrived, or it is lost.
func (s *subscriber) deliver(ctx context.Context, batch []json.RawMessage) {
	for pause := firstPause; !s.settle(ctx, batch, s.send(ctx, batch)); pause = min(2*pause, lastPause) {
		for over := time.Now().Add(pause); ctx.Err() == nil && !s.hurries() && time.Now().Before(over); {
			s.sleep(ctx, time.Until(over))
		}
	}
}

// sleep ends early when something has changed.
func (s *subscriber) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *subscriber) hurries() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hurry
}

// take returns the batch that is due, or how long to wait for one.
func (s *subscriber) take() (batch []json.RawMessage, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		s.hurry = false
		for _, done := range s.flushes {
			close(done)
		}
		s.flushes = nil
		return nil, time.Hour
	}
	full := len(s.pending) >= s.maxItems || s.bytes >= s.maxBytes
	if wait = time.Until(s.since.Add(s.timeout)); !full && !s.hurry && wait > 0 {
		return nil, wait
	}
	return s.cutLocked(), 0
}

// cutLocked takes a batch off the buffer, headed by a report of what was dropped before it.
func (s *subscriber) cutLocked() (batch []json.RawMessage) {
	if s.lost.Records > 0 && slices.Contains(s.Types, "platform") {
		batch = append(batch, encode("platform.logsDropped", s.lost))
	}
	s.lost = dropped{}
	n, size := 0, 0
	for n < len(s.pending) && n < s.maxItems && (n == 0 || size+len(s.pending[n]) <= s.maxBytes) {
		size += len(s.pending[n])
		n++
	}
	batch = append(batch, s.pending[:n]...)
	s.pending = slices.Clone(s.pending[n:])
	s.bytes -= size
	s.since = time.Now()
	return batch
}

// settle tells whether the batch needs no other try: it has arrived, or somebody waits for a flush, and it is lost.
func (s *subscriber) settle(ctx context.Context, batch []json.RawMessage, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.warned = false
		return true
	}
	ended := ctx.Err() != nil
	if !s.warned && !ended {
		s.warned = true
		s.log.WithError(err).Warn("telemetry does not reach its subscriber")
	}
	if !s.hurry && !ended {
		return false
	}
	s.loseLocked(err.Error(), batch...)
	return true
}

func (s *subscriber) send(ctx context.Context, batch []json.RawMessage) error {
	if s.url == "" {
		return s.sendTCP(ctx, batch)
	}
	body, err := json.Marshal(batch)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, s.method, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the subscriber answered %s", response.Status)
	}
	return nil
}

// sendTCP writes one event a line, over a connection per batch.
func (s *subscriber) sendTCP(ctx context.Context, batch []json.RawMessage) error {
	conn, err := s.dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	defer func() { _ = conn.Close() }()
	_, err = conn.Write(append(bytes.Join(raw(batch), []byte("\n")), '\n'))
	return err
}

func raw(batch []json.RawMessage) [][]byte {
	lines := make([][]byte, len(batch))
	for i, e := range batch {
		lines[i] = e
	}
	return lines
}
