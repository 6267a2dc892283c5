package envoy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Validate asks the binary whether it would start with the configuration (YAML or JSON). Envoy opens no address and
// connects nowhere. The error holds what Envoy says is wrong.
func Validate(ctx context.Context, binary string, config []byte) error {
	dir, err := os.MkdirTemp("", "ld-envoy-")
	if err != nil {
		return fmt.Errorf("validate with envoy: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "config.yaml") // JSON is YAML too
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return fmt.Errorf("validate with envoy: %w", err)
	}
	cmd := exec.CommandContext(ctx, binary, "--mode", "validate", "--config-path", path,
		"--log-level", "error", "--log-format", "%v", "--disable-hot-restart")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("envoy rejects the configuration: %s (%w)", complaint(out), err)
	}
	return nil
}

// complaint is what Envoy printed, without the name of our temporary file.
func complaint(out []byte) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return strings.TrimSpace(string(lines[0]))
}
