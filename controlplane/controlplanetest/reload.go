package controlplanetest

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// source writes the configuration to a file, where it may be changed.
func (s *Stack) source() controlplane.Source {
	s.file = filepath.Join(s.dir, "config.yaml")
	s.WriteConfig(func(*config.Config) {})
	return controlplane.Source{File: s.file, Load: func() (*controlplane.Config, error) {
		return controlplane.LoadConfig(s.file, nil, nil)
	}}
}

// WriteConfig changes Config, and the file that the control plane reads when it changes or when it is asked to.
func (s *Stack) WriteConfig(change func(*config.Config)) {
	s.t.Helper()
	next := *s.Config
	next.Functions = append([]config.Function(nil), s.Config.Functions...)
	change(&next)
	s.Config = &next
	text, err := yaml.Marshal(next)
	require.NoError(s.t, err)
	s.WriteFile(string(text))
}

// WriteFile puts any text in the place of that file.
func (s *Stack) WriteFile(text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.file+".new", []byte(text), 0o600))
	require.NoError(s.t, os.Rename(s.file+".new", s.file))
}

// Reload changes the configuration and has the control plane take it at once.
func (s *Stack) Reload(change func(*config.Config)) admin.Reload {
	s.t.Helper()
	s.WriteConfig(change)
	status, body := s.AdminPost("/reload")
	require.Equal(s.t, http.StatusOK, status, body)
	var r admin.Reload
	require.NoError(s.t, json.Unmarshal([]byte(body), &r))
	return r
}
