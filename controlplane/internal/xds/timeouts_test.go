package xds_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Times of the functions under test. A held request waits longer than any of their timeouts allows, and an answer that
// is late, later than all of them.
const (
	held  = 1500 * time.Millisecond
	limit = 500 * time.Millisecond
	late  = 30 * time.Second
)

func timed(name string, t config.Timeouts) config.Function {
	f := testFunction(name, config.Route{Path: "/" + name})
	f.Timeouts, f.Queue.Timeout = t, limit
	return f
}

// TestTimeoutsCountFromTheLease: each of them ends a request that deserves it, whether or not that was queued, and none
// of them ends one for having been queued. Scenario 23.
func TestTimeoutsCountFromTheLease(t *testing.T) {
	t.Parallel() // it mostly waits
	var functions []config.Function
	for _, queued := range []string{"", "held-"} {
		functions = append(functions,
			timed(queued+"first", config.Timeouts{FirstByte: limit}),
			timed(queued+"idle", config.Timeouts{Idle: limit}),
			timed(queued+"total", config.Timeouts{Total: limit}),
			timed(queued+"none", config.Timeouts{}))
	}
	f := startFront(t, functions...)
	tests := []struct {
		path string
		want string
		ask  func(ctx context.Context, path string) (string, error)
	}{
		{"first", "200", f.outcome},
		{"first/silent", "504 response_timeout", f.outcome},
		{"first/trickles", "200", f.outcome}, // the first byte was in time
		{"idle", "200", f.outcome},
		{"idle/silent", "504 response_timeout", f.outcome},
		{"idle/stalls", "200 cut", f.outcome},
		{"idle/trickles", "200", f.outcome}, // never silent for long
		{"idle/echo", "ended", f.stalledUpload("begun")},
		{"idle/echo", "ended", f.stalledUpload("")},
		{"idle/ws", "ended", f.idleUpgrade},
		{"total", "200", f.outcome},
		{"total/silent", "504 response_timeout", f.outcome},
		{"total/stalls", "200 cut", f.outcome},
		{"total/trickles", "200 cut", f.outcome},
		{"none/trickles", "200", f.outcome},
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// All at once, because each mostly waits; reported one by one.
	var asking sync.WaitGroup
	report := make(chan func(), 2*len(tests))
	for _, queued := range []string{"/", "/held-"} {
		for _, test := range tests {
			asking.Go(func() {
				got, err := test.ask(ctx, queued+test.path)
				report <- func() {
					require.NoError(t, err, queued+test.path)
					require.Equal(t, test.want, got, queued+test.path)
				}
			})
		}
	}
	asking.Wait()
	close(report)
	for check := range report {
		check()
	}
}

// outcome asks and returns the status, with the problem's cause, or with "cut" if the body did not come to its end.
func (f *front) outcome(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.address+path, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var p struct{ Cause string }
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("%d cut", resp.StatusCode), nil
	case err != nil:
		return "", err
	case resp.StatusCode >= http.StatusBadRequest:
		err = json.Unmarshal(body, &p)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, p.Cause)), err
}

// stalledUpload sends a part of a request and waits for Envoy to end the connection.
func (f *front) stalledUpload(begun string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, path string) (string, error) {
		return f.untilEnded(ctx, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"+begun)
	}
}

// idleUpgrade opens a WebSocket, says nothing on it, and waits for Envoy to end the connection.
func (f *front) idleUpgrade(ctx context.Context, path string) (string, error) {
	return f.untilEnded(ctx, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
}

func (f *front) untilEnded(ctx context.Context, request string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, conn)
	return "ended", err
}
