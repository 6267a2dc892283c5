package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

func TestMain(m *testing.M) { controlplanetest.Main(m) }

// Two minutes of make chaos-leader: nothing runs twice, nobody gets another's answer, and a fault explains each request without one. How
// many are refused depends on how busy the machine is.
func TestLongChaosAmongLeaders(t *testing.T) {
	t.Setenv("ENVOY", envoytest.Binary(t))
	build := filepath.Join(t.TempDir(), "build")
	require.NoError(t, os.Mkdir(build, 0o700))
	for name, folder := range map[string]string{
		"lambda-dispatch": "cmd/lambda-dispatch", "lambdalocal": "lambdalocal/cmd/lambdalocal", "chaos-app": "bench/chaos/app",
	} {
		require.NoError(t, os.Link(controlplanetest.Build(t, folder), filepath.Join(build, name)))
	}
	t.Chdir(filepath.Dir(build))
	l, err := lab.New(t.Context(), 2)
	require.NoError(t, err)
	defer l.Close()
	s := settings{Leader: true, Requests: 12_000, Rate: 100, Every: time.Second, Seed: uint64(time.Now().Unix()), Workers: 2}
	r, err := measure(t.Context(), l, s, t.Output())
	require.NoError(t, err)
	t.Logf("%v %v", r.Ends, r.Causes)
	require.Zero(t, r.Ends[twice])
	require.Zero(t, r.Ends[wrong])
	require.Zero(t, r.Unexplained, "%q", r.Examples)
	require.NotZero(t, r.Ends[answered])
}
