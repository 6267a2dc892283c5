package config

import (
	"fmt"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/source"
)

// Load reads the configuration. Its sources are, and a later one wins:
//   - the defaults
//   - the YAML file at path; env:NAME stands for the variable NAME, and an empty path for no file
//   - the variables of environ that begin with EnvPrefix, each "NAME=value" as in os.Environ
//   - overrides, each "path=value" as given to --set: "admin.address=127.0.0.1:0"
//
// The result is valid. An error names every mistake, one a line, with its path.
func Load(path string, environ, overrides []string) (Config, error) {
	cfg := Default()
	if path == "" {
		return cfg, all(nil, &cfg, environ, overrides)
	}
	text, err := source.Read(path)
	if err != nil {
		return cfg, fmt.Errorf("read configuration: %w", err)
	}
	if err := all(text, &cfg, environ, overrides); err != nil {
		return cfg, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return cfg, nil
}

// all decodes, overrides and validates. A mistake does not hide those of later steps: what cannot be decoded keeps its default. Each path
// is reported once.
func all(text []byte, cfg *Config, environ, overrides []string) error {
	var p problems
	if err := decode(text, cfg); !p.merge(err) {
		return err
	}
	p.merge(override(cfg, environ, overrides))
	p.merge(cfg.Validate())
	return p.err()
}

// override applies the environment, then the flags, and reports the mistakes of both.
func override(cfg *Config, environ, overrides []string) error {
	var p problems
	leaves := leavesOf(cfg)
	applyEnvironment(leaves, environ, &p)
	applyOverrides(leaves, overrides, &p)
	return p.err()
}
