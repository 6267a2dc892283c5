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

// publish makes a version of what is on disk and lets the alias lead to it. It returns the version's number, which is an old
// one if nothing has changed.
func (l lambda) publish(ctx context.Context) (version string, err error) {
	var made struct{ Version string }
	if err := l.call(ctx, http.MethodPost, "/versions", map[string]string{}, &made); err != nil {
		return "", fmt.Errorf("publish a version: %w", err)
	}
	to := map[string]string{"Name": alias, "FunctionVersion": made.Version}
	if made.Version == "1" {
		err = l.call(ctx, http.MethodPost, "/aliases", to, nil)
	} else {
		err = l.call(ctx, http.MethodPut, "/aliases/"+alias, to, nil)
	}
	if err != nil {
		return "", fmt.Errorf("move the alias: %w", err)
	}
	return made.Version, nil
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
