package dev

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The app's function and its alias.
const (
	function = "app"
	alias    = "live"
)

// ready is how long an app may take until it listens: one that is compiled first takes long.
const ready = "2m"

// configurations are those of lambdalocal and of the control plane.
func (s *session) configurations() (lambdalocal, controlPlane []byte, err error) {
	lambdalocal, err = yaml.Marshal(map[string]any{"address": s.places.lambda, "functions": []any{map[string]any{
		"name": function, "command": s.command(), "dir": s.Dir, "env": s.environment(),
		"extensions": []any{map[string]any{"name": "lambdapeer", "command": []string{s.Program, "lambdapeer"}}},
		"timeout":    "15m", "memory_mb": s.MemoryMB, "cold_start_delay": s.ColdStart.String(),
		"enforce_memory": false, // what compiles an app and watches its files needs more than the app
	}}})
	if err != nil {
		return nil, nil, err
	}
	controlPlane, err = yaml.Marshal(map[string]any{
		"listeners": []any{map[string]any{"name": "front", "address": s.places.front}},
		"aws":       map[string]any{"endpoint": "http://" + s.places.lambda, "region": "us-east-1"},
		"functions": []any{map[string]any{
			"name": function, "routes": []any{map[string]any{"path": "/"}},
			"lambda": map[string]any{"qualifier": alias, "memory_mb": s.MemoryMB},
			"scaling": map[string]any{
				"concurrency": s.Concurrency, "min": s.Min, "max": s.Max, "start_timeout": ready,
			},
			"queue":   map[string]any{"timeout": ready},
			"rollout": map[string]any{"watch": "0s"}, // it is told
		}},
	})
	return lambdalocal, controlPlane, err
}

// command has the port of --port in place of {port}. Without that flag each environment has a port of its own, which lambdalocal puts there.
func (s *session) command() []string {
	if s.Port == 0 {
		return s.Command
	}
	command := slices.Clone(s.Command)
	for k := range command {
		command[k] = strings.ReplaceAll(command[k], "{port}", strconv.Itoa(s.Port))
	}
	return command
}

// environment is what the app gets of the user's, with its port. Lambda's own variables are lambdalocal's to set.
func (s *session) environment() map[string]string {
	env := map[string]string{
		"LAMBDA_DISPATCH_PEER_LOG_LEVEL": "error", "LAMBDA_DISPATCH_PEER_READINESS_TIMEOUT": ready,
	}
	for _, entry := range s.Environ {
		if name, value, _ := strings.Cut(entry, "="); name != "" && !lambdas(name) {
			env[name] = value
		}
	}
	if s.Port != 0 {
		env["PORT"], env["LAMBDA_DISPATCH_PEER_PORT"] = strconv.Itoa(s.Port), strconv.Itoa(s.Port)
	}
	return env
}

// lambdas tells whether Lambda, or the shell of each process, sets a variable itself.
func lambdas(name string) bool {
	return slices.Contains([]string{"PORT", "PWD", "OLDPWD", "SHLVL", "_", "_HANDLER", "TZ"}, name) ||
		strings.HasPrefix(name, "AWS_LAMBDA_") || strings.HasPrefix(name, "LAMBDA_") && !strings.HasPrefix(name, "LAMBDA_DISPATCH_PEER_") ||
		strings.HasPrefix(name, "_X_AMZN_") || name == "LAMBDA_DISPATCH_PEER_PORT"
}
