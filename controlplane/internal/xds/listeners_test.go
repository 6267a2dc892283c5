package xds_test

import (
	"context"
	"maps"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Envoy refuses an address that another listener has. Whatever listeners do in one edit, it ends with what the edit says.
func TestListenersThatChangePlaces(t *testing.T) {
	a, b, c := freeAddress(t), freeAddress(t), freeAddress(t)
	app := testFunction("app", config.Route{Path: "/app"})
	f := startFront(t, app)
	for _, want := range []map[string]string{
		{"one": a, "two": b},
		{"uno": a, "two": b},             // one is renamed
		{"uno": b, "two": c},             // one takes the place that another leaves
		{"uno": c, "two": b},             // they change places
		{"uno": b, "two": a, "three": c}, // one moves, and a new one takes its place
		{"uno": c, "two": b, "three": a}, // three in a circle
	} {
		cfg := testConfig(app)
		cfg.StateDir, cfg.Listeners = f.dir, nil
		for name, address := range want {
			cfg.Listeners = append(cfg.Listeners, config.Listener{Name: name, Address: address})
		}
		f.configure(t, cfg)
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := f.process.Listeners(ctx)
			return err == nil && maps.Equal(want, got)
		}, patience, 20*time.Millisecond, "%v", want)
	}
	require.Eventually(t, func() bool { return len(f.Stats().Refusals) == 0 }, patience, time.Millisecond)
}
