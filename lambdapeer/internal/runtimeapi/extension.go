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

// An Extension is a registered extension.
type Extension struct {
	client *Client
	id     string
}

// Shutdown is the one type of event for which the peer may register.
const Shutdown = "SHUTDOWN"

// An ExtensionEvent is one of an extension's events.
type ExtensionEvent struct {
	Type   string `json:"eventType"`      // Shutdown
	Reason string `json:"shutdownReason"` // spindown, timeout or failure
}

// Register registers the process as an external extension that wants Shutdown. Lambda knows it by its file name in
// /opt/extensions.
func (c *Client) Register(ctx context.Context, fileName string) (*Extension, error) {
	return c.register(ctx, fileName, `{"events":["`+Shutdown+`"]}`)
}

// RegisterRuntime makes Lambda send the runtime SIGTERM, half a second before it kills: it does so only where there is an
// extension, and a runtime may be one itself. The registration lasts until ctx ends.
func (c *Client) RegisterRuntime(ctx context.Context) error {
	extension, err := c.register(ctx, "lambdapeer-runtime", `{"events":[]}`)
	if err != nil {
		return err
	}
	go func() { _, _ = extension.Next(ctx) }() // no event ever comes, but Lambda waits for it to be asked for
	return nil
}

func (c *Client) register(ctx context.Context, name, body string) (*Extension, error) {
	header := http.Header{"Lambda-Extension-Name": {name}}
	res, err := c.do(ctx, http.MethodPost, extensionPath+"register", header, []byte(body))
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
