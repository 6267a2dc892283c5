package telemetry

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 20 * time.Second

// A listener is a subscriber's end.
type listener struct {
	*httptest.Server
	batches chan []message

	mu     sync.Mutex
	hold   chan struct{} // not nil: answers wait for it
	status int
}

func (l *listener) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

type message struct {
	Time   time.Time
	Type   string
	Record json.RawMessage
}

func listen(t *testing.T) *listener {
	l := &listener{batches: make(chan []message, 100), status: http.StatusOK}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var batch []message
		if json.NewDecoder(r.Body).Decode(&batch) == nil {
			l.batches <- batch
		}
		l.mu.Lock()
		hold, status := l.hold, l.status
		l.mu.Unlock()
		if hold != nil {
			<-hold
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) uri() string {
	u, _ := url.Parse(l.URL)
	return "http://sandbox.localdomain:" + u.Port() + "/path"
}

func (l *listener) receive(t *testing.T) []message {
	t.Helper()
	select {
	case batch := <-l.batches:
		return batch
	case <-time.After(soon):
		require.Fail(t, "no batch")
		return nil
	}
}

func hub(t *testing.T) *Hub {
	h := NewHub(dialHere, quiet())
	t.Cleanup(h.Close)
	return h
}

func subscription(t *testing.T, destination, types, buffering string) Subscription {
	t.Helper()
	s, err := Telemetry.Parse(fmt.Appendf(nil, `{"schemaVersion":"2022-12-13","types":%s,"destination":%s,"buffering":%s}`, types, destination, buffering))
	require.NoError(t, err)
	return s
}

func subscribe(t *testing.T, h *Hub, name string, s Subscription) bool {
	t.Helper()
	added, err := h.Subscribe(name, s)
	require.NoError(t, err)
	return added
}

func (l *listener) subscription(t *testing.T, types, buffering string) Subscription {
	return subscription(t, fmt.Sprintf(`{"protocol":"HTTP","URI":%q}`, l.uri()), types, buffering)
}

func kinds(batch []message) (all []string) {
	for _, m := range batch {
		all = append(all, m.Type)
	}
	return all
}

func TestEventsGoToThoseWhoWantThem(t *testing.T) {
	h, l := hub(t), listen(t)
	h.Emit("platform.initStart", map[string]int{"before": 1})
	h.Emit("function", "not wanted")
	require.True(t, subscribe(t, h, "x", l.subscription(t, `["platform","extension"]`, `{}`)))
	require.False(t, subscribe(t, h, "x", l.subscription(t, `["function"]`, `{}`)), "the first stays")
	h.Emit("extension", "a line")
	h.Flush(context.Background())
	batch := l.receive(t)
	require.Equal(t, []string{"platform.initStart", "extension"}, kinds(batch))
	require.JSONEq(t, `{"before":1}`, string(batch[0].Record))
	require.JSONEq(t, `"a line"`, string(batch[1].Record))
	require.WithinDuration(t, time.Now(), batch[0].Time, soon)
}

// The Logs API has fewer events than the Telemetry API, with fewer fields, and some of its own.
func TestTheLogsAPIIsTheOldOne(t *testing.T) {
	for schema, want := range map[string][]string{
		``:                              {"platform.start", "function", "platform.fault", "platform.end", "platform.report"},
		`"schemaVersion":"2021-03-18",`: {"platform.start", "function", "platform.runtimeDone", "platform.fault", "platform.end", "platform.report"},
	} {
		h, l := hub(t), listen(t)
		s, err := Logs.Parse(fmt.Appendf(nil, `{%s"types":["platform","function"],"destination":{"protocol":"HTTP","URI":%q}}`, schema, l.uri()))
		require.NoError(t, err)
		require.True(t, subscribe(t, h, "x", s))
		require.True(t, subscribe(t, h, "new", listen(t).subscription(t, `["platform"]`, `{}`)))
		_, err = h.Subscribe("x", listen(t).subscription(t, `["platform"]`, `{}`))
		require.ErrorIs(t, err, ErrOtherAPI)
		h.Emit("platform.initStart", map[string]int{"a": 1})
		h.Emit("platform.start", map[string]string{"requestId": "1", "version": "2", "tracing": "3"})
		h.Emit("function", "a line")
		h.Emit("platform.runtimeDone", map[string]any{"requestId": "1", "status": "success", "metrics": 1})
		h.Emit("platform.fault", "a text")
		h.Emit("platform.end", map[string]any{"requestId": "1"})
		h.Emit("platform.report", map[string]any{"requestId": "1", "metrics": 1, "status": "success"})
		h.Flush(context.Background())
		batch := l.receive(t)
		require.Equal(t, want, kinds(batch), schema)
		require.JSONEq(t, `{"requestId":"1","version":"2"}`, string(batch[0].Record))
		require.JSONEq(t, `"a text"`, string(batch[len(batch)-3].Record))
		require.JSONEq(t, `{"requestId":"1","metrics":1}`, string(batch[len(batch)-1].Record))
	}
	_, err := Logs.Parse([]byte(valid("", "")))
	require.ErrorContains(t, err, "schemaVersion must be one of 2020-08-15, 2021-03-18")
}

func TestTheTelemetryAPIHasNoEventsOfTheLogsAPI(t *testing.T) {
	h, l := hub(t), listen(t)
	subscribe(t, h, "x", l.subscription(t, `["platform"]`, `{}`))
	h.Emit("platform.fault", "a text")
	h.Emit("platform.end", map[string]any{"requestId": "1"})
	h.Emit("platform.start", map[string]any{"requestId": "1"})
	h.Flush(context.Background())
	require.Equal(t, []string{"platform.start"}, kinds(l.receive(t)))
}

func TestABatchIsSentWhenItsTimeIsOver(t *testing.T) {
	h, l := hub(t), listen(t)
	subscribe(t, h, "x", l.subscription(t, `["function"]`, `{"timeoutMs":25}`))
	h.Emit("function", "a line")
	require.Len(t, l.receive(t), 1)
}

func TestABatchIsSentWhenItIsFull(t *testing.T) {
	h, l := hub(t), listen(t)
	subscribe(t, h, "x", l.subscription(t, `["function"]`, `{"timeoutMs":30000,"maxItems":1000}`))
	for range 1000 {
		h.Emit("function", "a line")
	}
	require.Len(t, l.receive(t), 1000)
	h.Emit("function", strings.Repeat("x", minBytes))
	require.Len(t, l.receive(t), 1)
}

func TestASlowSubscriberLearnsWhatItMissed(t *testing.T) {
	h, l := hub(t), listen(t)
	l.hold = make(chan struct{})
	subscribe(t, h, "x", l.subscription(t, `["platform","function"]`, `{"maxItems":1000,"timeoutMs":25}`))
	h.Emit("function", "first")
	require.Len(t, l.receive(t), 1) // and is not answered
	for range 2010 {
		h.Emit("function", "a line")
	}
	l.set(func() { close(l.hold); l.hold = nil })
	batch := l.receive(t)
	require.Len(t, batch, 1001)
	require.Equal(t, "platform.logsDropped", batch[0].Type)
	var lost dropped
	require.NoError(t, json.Unmarshal(batch[0].Record, &lost))
	require.Equal(t, 10, lost.Records)
	require.Positive(t, lost.Bytes)
	require.Equal(t, tooSlow, lost.Reason)
	require.Len(t, l.receive(t), 1000)
}

// What a subscriber does not take is sent again, and nothing overtakes it.
func TestABatchIsSentAgainUntilItArrives(t *testing.T) {
	h, l := hub(t), listen(t)
	l.status = http.StatusServiceUnavailable
	subscribe(t, h, "x", l.subscription(t, `["platform","function"]`, `{"timeoutMs":25}`))
	h.Emit("function", "first")
	for range 3 {
		require.Equal(t, []string{"function"}, kinds(l.receive(t)))
	}
	h.Emit("function", "second")
	l.set(func() { l.status = http.StatusOK })
	var records []string
	for len(records) == 0 || records[len(records)-1] != `"second"` {
		for _, m := range l.receive(t) {
			records = append(records, string(m.Record))
		}
	}
	require.Equal(t, `"second"`, records[len(records)-1])
	for _, before := range records[:len(records)-1] {
		require.Equal(t, `"first"`, before)
	}
}

// One that listens after it has subscribed gets what was before, by the method that it chose.
func TestASubscriberMayListenLater(t *testing.T) {
	requests := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r.Method + " " + string(body)
	}))
	t.Cleanup(server.Close)
	refusals := 3
	h := NewHub(func(ctx context.Context, address string) (net.Conn, error) {
		if refusals--; refusals >= 0 { // one try at a time
			return nil, syscall.ECONNREFUSED
		}
		return dialHere(ctx, address)
	}, quiet())
	t.Cleanup(h.Close)
	at, _ := url.Parse(server.URL)
	subscribe(t, h, "x", subscription(t, `{"protocol":"HTTP","URI":"http://sandbox:`+at.Port()+`","method":"PUT"}`, `["function"]`, `{"timeoutMs":25}`))
	h.Emit("function", "early")
	require.Regexp(t, `^PUT .*"record":"early"`, <-requests)
}

func TestASubscriberThatFailedLearnsWhatItMissed(t *testing.T) {
	h, l := hub(t), listen(t)
	l.status = http.StatusServiceUnavailable
	subscribe(t, h, "x", l.subscription(t, `["platform"]`, `{"timeoutMs":30000}`))
	h.Emit("platform.start", 1)
	h.Flush(context.Background())
	require.Equal(t, []string{"platform.start"}, kinds(l.receive(t)))
	l.set(func() { l.status = http.StatusOK })
	h.Emit("platform.report", 2)
	h.Flush(context.Background())
	batch := l.receive(t)
	require.Equal(t, []string{"platform.logsDropped", "platform.report"}, kinds(batch))
	require.Contains(t, string(batch[0].Record), "the subscriber answered 503")
}

func TestDeliveryByTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	h := hub(t)
	destination := fmt.Sprintf(`{"protocol":"TCP","port":%d}`, l.Addr().(*net.TCPAddr).Port)
	subscribe(t, h, "x", subscription(t, destination, `["function"]`, `{"timeoutMs":25}`))
	h.Emit("function", "one")
	h.Emit("function", "two")
	conn, err := l.Accept()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, `"record":"one"`)
}

func TestCloseDoesNotWaitForASubscriberThatHangs(t *testing.T) {
	h, l := NewHub(dialHere, quiet()), listen(t)
	hold := make(chan struct{})
	l.hold = hold
	subscribe(t, h, "x", l.subscription(t, `["function"]`, `{"timeoutMs":25}`))
	h.Emit("function", "first")
	l.receive(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.Flush(ctx)
	h.Close()
	close(hold)
	h.Emit("function", "after the end: nothing happens")
}

func TestNothingIsKeptForLateSubscribersOnceTheHubIsShut(t *testing.T) {
	h := hub(t)
	for range 3 {
		h.Emit("function", strings.Repeat("x", earlyLimit/2))
	}
	require.Len(t, h.early, 1, "what is kept is bounded")
	h.Shut()
	h.Emit("function", "a line")
	require.Empty(t, h.early)
}

// Each wrong subscription is refused with a word about each mistake.
func TestWrongSubscriptions(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"no JSON":       {`{`, "the request is not JSON of the expected shape"},
		"nothing":       {`{}`, "schemaVersion must be one of 2022-07-01, 2022-12-13, 2025-01-29; types should not be empty; protocol must be HTTP or TCP"},
		"unknown type":  {valid(`"types":["platform"]`, `"types":["logs"]`), `type "logs" is not one of platform, function, extension`},
		"old schema":    {valid(`2022-12-13`, `2020-08-15`), "schemaVersion"},
		"few items":     {valid(`"maxItems":1000`, `"maxItems":999`), "maxItems must be 1000 to 10000, got 999"},
		"many items":    {valid(`"maxItems":1000`, `"maxItems":10001`), "maxItems"},
		"few bytes":     {valid(`"maxBytes":262144`, `"maxBytes":262143`), "maxBytes must be 262144 to 1048576, got 262143"},
		"many bytes":    {valid(`"maxBytes":262144`, `"maxBytes":1048577`), "maxBytes"},
		"short timeout": {valid(`"timeoutMs":25`, `"timeoutMs":24`), "timeoutMs must be 25 to 30000, got 24"},
		"long timeout":  {valid(`"timeoutMs":25`, `"timeoutMs":30001`), "timeoutMs"},
		"elsewhere":     {valid(`sandbox.localdomain`, `example.com`), "URI host must be sandbox.localdomain"},
		"no port":       {valid(`sandbox.localdomain:8080`, `sandbox.localdomain`), "URI port is not provided"},
		"https":         {valid(`http:`, `https:`), "URI must begin with http://"},
		"no URI":        {valid(`http://sandbox.localdomain:8080`, `:`), "URI is not valid"},
		"other method":  {valid(`"protocol"`, `"method":"GET","protocol"`), "method must be POST or PUT"},
		"TCP no port":   {valid(`"protocol":"HTTP"`, `"protocol":"TCP"`), "port must be 1 to 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Telemetry.Parse([]byte(c.body))
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Telemetry.Parse([]byte(valid("", "")))
	require.NoError(t, err)
}

// valid is a subscription with one thing changed.
func valid(old, other string) string {
	return strings.Replace(`{"schemaVersion":"2022-12-13","types":["platform"],
		"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25},
		"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:8080"}}`, old, other, 1)
}

func FuzzParse(f *testing.F) {
	f.Add(valid("", ""))
	f.Add(`{"destination":{"protocol":"TCP","port":-1}}`)
	f.Fuzz(func(t *testing.T, body string) {
		s, err := Telemetry.Parse([]byte(body))
		if err != nil {
			return
		}
		host, _, splitErr := net.SplitHostPort(s.address)
		require.NoError(t, splitErr)
		require.Equal(t, "127.0.0.1", host, "nothing is ever sent elsewhere")
		require.Positive(t, s.timeout)
	})
}

func dialHere(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// A subscriber that nobody can reach is told of once, and again after it was reached.
func TestASubscriberThatCannotBeReachedIsAWarning(t *testing.T) {
	log, warnings := logrus.New(), make(chan string, 10)
	log.SetOutput(io.Discard)
	log.AddHook(hook(func(e *logrus.Entry) {
		warnings <- fmt.Sprint(e.Data["extension"], ": ", e.Message, ": ", e.Data["error"])
	}))
	h, gone := NewHub(dialHere, log), listen(t)
	t.Cleanup(h.Close)
	subscribe(t, h, "watcher", gone.subscription(t, `["function"]`, `{"timeoutMs":25}`))
	gone.Close()
	h.Emit("function", "a line")
	require.Regexp(t, "^watcher: telemetry does not reach its subscriber: .*connection refused", <-warnings)
	h.Emit("function", "another line")
	h.Flush(t.Context())
	require.Empty(t, warnings)
}

type hook func(*logrus.Entry)

func (h hook) Levels() []logrus.Level { return []logrus.Level{logrus.WarnLevel} }

func (h hook) Fire(e *logrus.Entry) error { h(e); return nil }
