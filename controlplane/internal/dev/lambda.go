package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// publishTimeout bounds the copy of the app's folder that a version is.
const publishTimeout = time.Minute

// A lambda is the local Lambda's address.
type lambda struct{ address string }

// begin makes the first version, and the alias that leads to it.
func (l lambda) begin(ctx context.Context) error {
	version, err := l.version(ctx)
	if err != nil {
		return err
	}
	return l.lead(ctx, http.MethodPost, "/aliases", version)
}

// publish makes a version of what is on disk and lets the alias lead to it. It returns the version's number, which is an old
// one if nothing has changed.
func (l lambda) publish(ctx context.Context) (version string, err error) {
	if version, err = l.version(ctx); err != nil {
		return "", err
	}
	return version, l.lead(ctx, http.MethodPut, "/aliases/"+alias, version)
}

func (l lambda) version(ctx context.Context) (string, error) {
	var made struct{ Version string }
	if err := l.call(ctx, http.MethodPost, "/versions", map[string]string{}, &made); err != nil {
		return "", fmt.Errorf("publish a version: %w", err)
	}
	return made.Version, nil
}

func (l lambda) lead(ctx context.Context, method, path, version string) error {
	if err := l.call(ctx, method, path, map[string]string{"Name": alias, "FunctionVersion": version}, nil); err != nil {
		return fmt.Errorf("move the alias: %w", err)
	}
	return nil
}

func (l lambda) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+l.address+"/2015-03-31/functions/"+function+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
