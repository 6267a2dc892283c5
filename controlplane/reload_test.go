package controlplane

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A function that comes while all others end would start instances.
func TestNothingIsTakenOnceTheEndHasBegun(t *testing.T) {
	cfg, taken := config.Default(), 0
	log, _ := logtest.NewNullLogger()
	r := newReloader(&cfg, func(*Config) error { taken++; return nil }, log)
	r.source.Load = func() (*Config, error) {
		next := config.Default()
		next.Shutdown.Grace = r.current().Shutdown.Grace + 1
		return &next, nil
	}
	require.Empty(t, r.Reload("somebody asks").Refused)
	require.Equal(t, 1, taken)
	ended, end := context.WithCancel(t.Context())
	end()
	require.NoError(t, r.Run(ended))
	require.Equal(t, "this process is about to end", r.Reload("somebody asks").Refused)
	require.Equal(t, 1, taken)
}

// A file that is emptied, cut off or commented out ends no function. One that says that there are none does.
func TestAFileWithoutFunctionsIsNoConfigurationWithNone(t *testing.T) {
	for text, refused := range map[string]bool{
		"": true, "# functions:\n# - name: web\n": true, "null\n": true, "---\n": true, "functions:\n": true, "log: {level: debug}\n": true,
		"functions: []\n": false,
	} {
		file := filepath.Join(t.TempDir(), "controlplane.yaml")
		require.NoError(t, os.WriteFile(file, []byte("functions:\n- name: web\n  routes: [{path: /}]\n"), 0o600))
		load := func() (*Config, error) { return LoadConfig(file, nil, nil) }
		cfg, err := load()
		require.NoError(t, err)
		log, _ := logtest.NewNullLogger()
		r := newReloader(cfg, func(*Config) error { return nil }, log)
		r.source.Load = load
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		did := r.Reload("somebody asks")
		require.Equal(t, refused, did.Refused != "", "%q: %s", text, did.Refused)
		require.Equal(t, refused, len(r.current().Functions) == 1, "%q", text)
		require.Empty(t, r.Reload("again").Changed)
	}
}
