package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// extension is the name under which the extension tells the witness.
const extension = "extension"

// serveExtension tells the witness which variables an extension has, and when it hears of invocations and of the end.
func serveExtension(ctx context.Context) error {
	header, _, err := ask(ctx, "POST", "/2020-01-01/extension/register", map[string]string{"Lambda-Extension-Name": "proof"},
		map[string]any{"events": []string{"INVOKE", "SHUTDOWN"}})
	if err != nil {
		return err
	}
	linger, err := time.ParseDuration(os.Getenv(lingerVar))
	if err != nil {
		return fmt.Errorf("%s: %w", lingerVar, err)
	}
	if err := tell("variables " + strings.Join(variables(), " ")); err != nil {
		return err
	}
	id := map[string]string{"Lambda-Extension-Identifier": header.Get("Lambda-Extension-Identifier")}
	for {
		_, text, err := ask(ctx, "GET", "/2020-01-01/extension/event/next", id, nil)
		if err != nil {
			return err
		}
		var event struct{ EventType, ShutdownReason string }
		if err := json.Unmarshal(text, &event); err != nil {
			return err
		}
		if event.EventType == "SHUTDOWN" {
			return tell("shutdown " + event.ShutdownReason)
		}
		time.Sleep(linger)
		if err := tell("idle"); err != nil {
			return err
		}
	}
}

// tell sends the witness a line, on a connection of its own: one that was kept may not outlive a freeze.
func tell(line string) error {
	conn, err := dial(extension)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintln(conn, line)
	return err
}

// variables are the names of those that Lambda sets.
func variables() []string {
	var names []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "LAMBDA_") || strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
