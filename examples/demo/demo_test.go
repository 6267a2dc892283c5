package main

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
)

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) string {
	l, port := takenPort(t)
	require.NoError(t, l.Close())
	return port
}

func takenPort(t *testing.T) (net.Listener, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return l, port
}

// anywhere is a getenv that leaves all ports but these to the kernel.
func anywhere(but map[string]string) func(string) string {
	of := map[string]string{"FRONT_PORT": anyPort, "ADMIN_PORT": anyPort, "ENVOY_ADMIN_PORT": anyPort}
	maps.Copy(of, but)
	return func(name string) string { return of[name] }
}

// choose chooses addresses, as a demo does that ends at once.
func choose(getenv func(string) string) (addresses, error) {
	var held local.Ports
	defer held.Release()
	return chooseAddresses(&held, getenv)
}

func TestAllPortsInUseAreNamedWithACommandThatMovesThem(t *testing.T) {
	front, frontPort := takenPort(t)
	defer front.Close()
	admin, adminPort := takenPort(t)
	defer admin.Close()

	_, err := choose(anywhere(map[string]string{"FRONT_PORT": frontPort, "ADMIN_PORT": adminPort}))
	require.ErrorContains(t, err, "ports in use: "+frontPort+" (FRONT_PORT), "+adminPort+" (ADMIN_PORT). ")
	_, command, found := strings.Cut(err.Error(), ": make demo ")
	require.True(t, found, err)
	require.Regexp(t, "^FRONT_PORT=[0-9]+ ADMIN_PORT=[0-9]+ ENVOY_ADMIN_PORT=0$", command, "what was set stays")
	proposed := map[string]string{}
	for _, assignment := range strings.Fields(command) {
		name, port, _ := strings.Cut(assignment, "=")
		proposed[name] = port
	}
	a, err := choose(anywhere(proposed))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:"+proposed["FRONT_PORT"], a.front)
}

func TestWhatIsNoPortIsNamed(t *testing.T) {
	_, err := choose(anywhere(map[string]string{"FRONT_PORT": "http"}))
	require.EqualError(t, err, `FRONT_PORT: not a port: "http"`)
}

func TestTheLocalLambdaIsWhereItsVariableSays(t *testing.T) {
	a, err := choose(anywhere(nil))
	require.NoError(t, err)
	require.NotEqual(t, a.relay, a.lambda)
	port := freePort(t)
	a, err = choose(anywhere(map[string]string{"LAMBDA_PORT": port}))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:"+port, a.lambda)
}

func TestTheSamePortForTwoPartsIsRefused(t *testing.T) {
	port := freePort(t)
	_, err := choose(anywhere(map[string]string{"FRONT_PORT": port, "ADMIN_PORT": port}))
	require.ErrorContains(t, err, "ports in use: "+port+" (ADMIN_PORT). ")
	require.NotContains(t, err.Error(), "ADMIN_PORT="+port)
}

func TestAFunctionThatCannotRunHereIsLeftOutEverywhere(t *testing.T) {
	programs := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(programs, "python3"), nil, 0o700))
	t.Setenv("PATH", programs)
	w, err := newWorkspace(addresses{front: "127.0.0.1:81", admin: "127.0.0.1:82", lambda: "127.0.0.1:83"})
	require.NoError(t, err)
	defer w.remove()

	require.Equal(t, []string{"go", "python"}, w.functions)
	require.Contains(t, w.welcome(), "Note: /node is left out: no node on the PATH")
	require.Contains(t, w.welcome(), "curl http://127.0.0.1:83/lambdalocal/ledger")
	require.Regexp(t, `(?s)sleep\?ms=5000" & done\n +build/lambda-dispatch status --admin 127.0.0.1:82 +# while they run: an idle instance ends at once`, w.welcome())
	for name, text := range map[string][]byte{"control plane": w.control, "lambdalocal": w.local} {
		require.Equal(t, []string{"go", "python"}, namesIn(t, text), name)
	}
	require.Contains(t, string(w.control), "127.0.0.1:81")
	require.Contains(t, string(w.control), "127.0.0.1:83")
}

func namesIn(t *testing.T, text []byte) (names []string) {
	var config struct{ Functions []struct{ Name string } }
	require.NoError(t, yaml.Unmarshal(text, &config))
	for _, function := range config.Functions {
		names = append(names, function.Name)
	}
	return names
}
