package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	Type   string `json:"eventType"`      // Shutdown
	Reason string `json:"shutdownReason"` // spindown, timeout or failure
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
	res, err := e.client.do(ctx, http.MethodGet, extensionPath+"event/next", http.Header{identifierHeader: {e.id}}, nil)
	if err != nil {
		return ExtensionEvent{}, fmt.Errorf("next extension event: %w", err)
	}
	defer res.Body.Close()
	var event ExtensionEvent
	if err := json.NewDecoder(io.LimitReader(res.Body, MaxPayload)).Decode(&event); err != nil {
		return ExtensionEvent{}, fmt.Errorf("next extension event: %w", err)
	}
	return event, nil
}
