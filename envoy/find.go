package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ToolsDir is the folder where Find looks for what Fetch installed: in the working directory, beside the program that runs, or above
// one of them.
const ToolsDir = ".tools"

// ErrNotFound says that no Envoy of the pinned version is here. Fetch gets one.
var ErrNotFound = errors.New("no envoy " + Version + " in $ENVOY, on PATH, or in " + ToolsDir +
	" (get one with: go run ./envoy/cmd/fetch " + ToolsDir + ")")

// Find returns the path of an Envoy of the pinned version: $ENVOY, else the one on PATH, else what Fetch put into
// ToolsDir. $ENVOY may be of any version of Tested; one of another is an error, since somebody asked for it. One on PATH is passed over.
func Find(ctx context.Context) (string, error) {
	if path := os.Getenv("ENVOY"); path != "" {
		return path, checkVersion(ctx, path, Tested()...)
	}
	if path, err := exec.LookPath("envoy"); err == nil && checkVersion(ctx, path, Version) == nil {
		return path, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find envoy: %w", err)
	}
	dirs := []string{here}
	if program, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(program))
	}
	for _, dir := range dirs {
		if path := findAbove(ctx, dir); path != "" {
			return path, nil
		}
	}
	return "", ErrNotFound
}

// findAbove looks into the ToolsDir of a folder and of those above it. It returns "" if none has the pinned version.
func findAbove(ctx context.Context, dir string) string {
	for {
		path := installed(filepath.Join(dir, ToolsDir), Version)
		if checkVersion(ctx, path, Version) == nil {
			return path
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// installed is where Fetch puts the binary.
func installed(dir, version string) string { return filepath.Join(dir, "envoy-"+version, "envoy") }

// checkVersion wants a binary of one of these versions.
func checkVersion(ctx context.Context, path string, versions ...string) error {
	got, err := VersionOf(ctx, path)
	if err == nil && !slices.Contains(versions, got) {
		return fmt.Errorf("%s is not envoy %s but %s", path, strings.Join(versions, " or "), got)
	}
	return err
}

// VersionOf asks a binary for its version.
func VersionOf(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	// /usr/bin/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL
	_, build, _ := strings.Cut(string(out), " version: ")
	parts := strings.Split(build, "/")
	if len(parts) < 2 {
		return "", fmt.Errorf("%s is not envoy but says %q", path, strings.TrimSpace(string(out)))
	}
	return parts[1], nil
}
