package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	extensionPath    = "/2020-01-01/extension/"
	identifierHeader = "Lambda-Extension-Identifier"
)

// An Extension is a registered external extension.
type Extension struct {
	client *Client
	id     string
}

// Shutdown is the one event that extensions of ours register for.
const Shutdown = "SHUTDOWN"

// An ExtensionEvent is one of an extension's events.
type ExtensionEvent struct {
	Type     string    // Shutdown
	Reason   string    // of a shutdown: spindown, timeout, failure
	Deadline time.Time // the process is killed then
}

// Register registers the process as an external extension. Lambda knows it by its file name in /opt/extensions.
func (c *Client) Register(ctx context.Context, fileName string) (*Extension, error) {
	header := http.Header{"Lambda-Extension-Name": {fileName}}
	res, err := c.do(ctx, http.MethodPost, extensionPath+"register", header, []byte(`{"events":["`+Shutdown+`"]}`))
	if err != nil {
		return nil, fmt.Errorf("register extension: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, MaxPayload))
	id := res.Header.Get(identifierHeader)
	if id == "" {
		return nil, errors.New("register extension: no " + identifierHeader)
	}
	return &Extension{client: c, id: id}, nil
}

// Next blocks until the extension's next event, or until ctx ends. Its first call tells Lambda that the extension is
// initialized.
func (e *Extension) Next(ctx context.Context) (ExtensionEvent, error) {
	res, err := e.client.do(ctx, http.MethodGet, extensionPath+"event/next", e.header(), nil)
	if err != nil {
		return ExtensionEvent{}, fmt.Errorf("next extension event: %w", err)
	}
	defer res.Body.Close()
	var event struct {
		Type     string `json:"eventType"`
		Reason   string `json:"shutdownReason"`
		Deadline int64  `json:"deadlineMs"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, MaxPayload)).Decode(&event); err != nil {
		return ExtensionEvent{}, fmt.Errorf("next extension event: %w", err)
	}
	out := ExtensionEvent{Type: event.Type, Reason: event.Reason}
	if event.Deadline != 0 {
		out.Deadline = time.UnixMilli(event.Deadline)
	}
	return out, nil
}

// FailInit says that the extension cannot be initialized. Lambda ends the environment.
func (e *Extension) FailInit(ctx context.Context, f Failure) error {
	if err := e.client.fail(ctx, extensionPath+"init/error", e.header(), f); err != nil {
		return fmt.Errorf("fail extension's initialization: %w", err)
	}
	return nil
}

func (e *Extension) header() http.Header { return http.Header{identifierHeader: {e.id}} }
