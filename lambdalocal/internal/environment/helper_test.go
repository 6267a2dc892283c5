package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	soon           = 20 * time.Second
	invocationPath = "/2018-06-01/runtime/invocation/"
	nextPath       = invocationPath + "next"
	initErrorPath  = "/2018-06-01/runtime/init/error"
	extensionPath  = "/2020-01-01/extension/"
	telemetryPath  = "/2022-07-01/telemetry"
)

// A stage is an environment whose processes do nothing: the test calls the APIs in their place.
type stage struct {
	*Environment
	t    *testing.T
	log  *logLines
	http *http.Client
}

// logLines collects the environment's log.
type logLines struct {
	mu       sync.Mutex
	lines    []string
	warnings []logrus.Entry
}

func (l *logLines) Levels() []logrus.Level { return logrus.AllLevels }

func (l *logLines) Fire(e *logrus.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, e.Message)
	if e.Level == logrus.WarnLevel {
		l.warnings = append(l.warnings, *e)
	}
	return nil
}

// takeWarnings returns each warning since the last call in one line: what it is about, the error, the output.
func (l *logLines) takeWarnings() (texts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.warnings {
		output, _ := w.Data["output"].(string)
		texts = append(texts, fmt.Sprintf("%v: %s: %v: %q", w.Data["function"], w.Message, w.Data["error"], output))
	}
	l.warnings = nil
	return texts
}

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func newStage(t *testing.T, change func(*Config)) *stage {
	t.Helper()
	log := quietLog()
	s := &stage{t: t, log: &logLines{}, http: &http.Client{Transport: &http.Transport{}}}
	log.AddHook(s.log)
	cfg := &Config{
		Function: "web", Version: "$LATEST", Account: "123456789012", Handler: "app.handler", Command: []string{"sleep", "1000"}, Dir: t.TempDir(),
		MemoryMB: 128, Timeout: soon, InitLimit: soon, Log: log,
	}
	if change != nil {
		change(cfg)
	}
	s.Environment = New(cfg, "0123", 1)
	t.Cleanup(func() {
		s.Environment.Kill()
		s.Environment.Shutdown(Spindown)
		s.http.CloseIdleConnections()
	})
	return s
}

func quietLog() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.DebugLevel)
	return log
}

func writeFile(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, nil, 0o600))
}

// begin starts init and returns when the command runs.
func (s *stage) begin() (initialized <-chan struct{}) {
	done := make(chan struct{})
	go func() { defer close(done); s.Init(context.Background()) }()
	s.t.Cleanup(func() { s.Environment.Kill(); <-done })
	s.eventually("processes", func() bool { return len(s.PIDs()) > 0 })
	return done
}

func (s *stage) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, soon, time.Millisecond, what)
}

// eventuallyBoot waits for state of the current boot.
func (s *stage) eventuallyBoot(what string, condition func(*boot) bool) {
	s.t.Helper()
	s.eventually(what, func() bool {
		b := s.current()
		if b == nil {
			return false
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		return condition(b)
	})
}

// A reply of an API.
type reply struct {
	code   int
	header http.Header
	body   string
}

func (r reply) errorBody(t *testing.T) errorBody {
	t.Helper()
	var e errorBody
	require.NoError(t, json.Unmarshal([]byte(r.body), &e), r.body)
	return e
}

func (s *stage) call(method, path string, header http.Header, body string) reply {
	s.t.Helper()
	r, err := s.try(context.Background(), method, path, header, strings.NewReader(body))
	require.NoError(s.t, err)
	return r
}

func (s *stage) try(ctx context.Context, method, path string, header http.Header, body io.Reader) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+s.current().addr+path, body)
	if err != nil {
		return reply{}, err
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	response, err := s.http.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	_, err = text.ReadFrom(response.Body)
	return reply{response.StatusCode, response.Header, text.String()}, err
}

// async makes a call that blocks for long.
func (s *stage) async(method, path string, header http.Header) <-chan reply {
	replies := make(chan reply, 1)
	go func() {
		defer close(replies)
		if r, err := s.try(context.Background(), method, path, header, nil); err == nil {
			replies <- r
		}
	}()
	return replies
}

// ready is a runtime that has asked for its first invocation, at the end of init.
func ready(t *testing.T, change func(*Config)) (s *stage, first <-chan reply) {
	t.Helper()
	s = newStage(t, change)
	initialized := s.begin()
	first = s.async("GET", nextPath, nil)
	<-initialized
	require.True(t, s.Alive())
	return s, first
}

// running is a runtime that has an invocation to answer.
func running(t *testing.T, inv Invocation, change func(*Config)) (s *stage, result <-chan Result) {
	t.Helper()
	s, first := ready(t, change)
	result = s.invoke(inv)
	require.Equal(t, http.StatusOK, (<-first).code)
	return s, result
}

func (s *stage) invoke(inv Invocation) <-chan Result {
	if inv.ID == "" {
		inv.ID = "id-1"
	}
	result, done := make(chan Result, 1), make(chan struct{})
	go func() { defer close(done); result <- s.Invoke(context.Background(), inv) }()
	s.t.Cleanup(func() { s.Environment.Kill(); <-done })
	return result
}

// next asks for the next invocation, which ends the current one.
func (s *stage) next() <-chan reply { return s.async("GET", nextPath, nil) }
