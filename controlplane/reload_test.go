package controlplane

import (
	"context"
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
