package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ToolsDir is the folder, in the working directory or above it, where Find looks for what Fetch installed.
const ToolsDir = ".tools"

// ErrNotFound says that no Envoy of the pinned version is here. Fetch gets one.
var ErrNotFound = errors.New("no envoy " + Version + " in $ENVOY, on PATH, or in " + ToolsDir +
	" (get one with: go run ./envoy/cmd/fetch " + ToolsDir + ")")

// Find returns the path of an Envoy of the pinned version: $ENVOY, else the one on PATH, else what Fetch put into
// ToolsDir. An $ENVOY of another version is an error, since somebody asked for it; one on PATH is passed over.
func Find(ctx context.Context) (string, error) {
	if path := os.Getenv("ENVOY"); path != "" {
		return path, checkVersion(ctx, path)
	}
	if path, err := exec.LookPath("envoy"); err == nil && checkVersion(ctx, path) == nil {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find envoy: %w", err)
	}
	for {
		path := installed(filepath.Join(dir, ToolsDir))
		if checkVersion(ctx, path) == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", ErrNotFound
		}
		dir = filepath.Dir(dir)
	}
}

// installed is where Fetch puts the binary.
func installed(dir string) string { return filepath.Join(dir, "envoy-"+Version, "envoy") }

func checkVersion(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", path, err)
	}
	// envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL
	if !strings.Contains(string(out), "/"+Version+"/") {
		return fmt.Errorf("%s is not envoy %s but says %q", path, Version, strings.TrimSpace(string(out)))
	}
	return nil
}
