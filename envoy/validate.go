package envoy

import (
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
		return fmt.Errorf("envoy rejects the configuration: %s (%w)", complaint(out, path), err)
	}
	return nil
}

// complaint is the first line that Envoy printed, without the name of our temporary file.
func complaint(out []byte, path string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimPrefix(line, fmt.Sprintf("error initializing configuration '%s': ", path))
}
