package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// variables is a getenv.
func variables(of map[string]string) func(string) string {
	return func(name string) string { return of[name] }
}

func TestAPortInUseIsNamedWithTheVariableThatMovesIt(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)

	_, err = chooseAddresses(variables(map[string]string{"FRONT_PORT": port}))
	require.EqualError(t, err, "port "+port+" is in use: choose another one with make demo FRONT_PORT=PORT")
	_, err = chooseAddresses(variables(map[string]string{"FRONT_PORT": "http"}))
	require.EqualError(t, err, `FRONT_PORT: not a port: "http"`)
}

func TestTheLocalLambdaIsWhereItsVariableSays(t *testing.T) {
	free, err := claim("", anyPort)
	require.NoError(t, err)
	require.NoError(t, free.Close())
	_, port, err := net.SplitHostPort(free.Addr().String())
	require.NoError(t, err)
	anywhere := map[string]string{"FRONT_PORT": anyPort, "ADMIN_PORT": anyPort, "ENVOY_ADMIN_PORT": anyPort}

	a, err := chooseAddresses(variables(anywhere))
	require.NoError(t, err)
	require.NotEqual(t, a.relay, a.lambda)
	anywhere["LAMBDA_PORT"] = port
	a, err = chooseAddresses(variables(anywhere))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:"+port, a.lambda)
}

func TestTheSamePortForTwoPartsIsRefused(t *testing.T) {
	free, err := claim("", anyPort)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(free.Addr().String())
	require.NoError(t, err)
	require.NoError(t, free.Close())

	_, err = chooseAddresses(variables(map[string]string{"FRONT_PORT": port, "ADMIN_PORT": port}))
	require.EqualError(t, err, "port "+port+" is in use: choose another one with make demo ADMIN_PORT=PORT")
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
	for _, file := range []string{"controlplane.yaml", "lambdalocal.yaml"} {
		require.Equal(t, []string{"go", "python"}, namesIn(t, w.path(file)), file)
	}
	text, err := os.ReadFile(w.path("controlplane.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "127.0.0.1:81")
	require.Contains(t, string(text), "127.0.0.1:83")
}

func namesIn(t *testing.T, file string) (names []string) {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var config struct{ Functions []struct{ Name string } }
	require.NoError(t, yaml.Unmarshal(text, &config))
	for _, function := range config.Functions {
		names = append(names, function.Name)
	}
	return names
}

func TestTheEndOfAPartsOutputIsInItsError(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(log, []byte("first\nlast\n"), 0o600))
	require.Equal(t, ". The end of its output:\nfirst\nlast", (&part{log: log}).lastWords())
	require.Equal(t, ": see its output above", (&part{}).lastWords())
	require.NoError(t, os.Truncate(log, 0))
	require.Equal(t, ". It had printed nothing", (&part{log: log}).lastWords())
}

// A request in flight needs Envoy and its instance until the control plane says that none is left.
func TestPartsStopInTheOrderThatServesRequestsInFlight(t *testing.T) {
	var stopped []string
	p := &parts{}
	for _, name := range []string{lambdalocal, controlPlane, envoyProxy} {
		p.add(&part{name: name, stop: func(context.Context) { stopped = append(stopped, name) }})
	}
	p.stopAll(context.Background())
	require.Equal(t, []string{controlPlane, envoyProxy, lambdalocal}, stopped)
}

func TestTheSecondSignalEndsAControlPlaneThatDrains(t *testing.T) {
	signals := make(chan os.Signal)
	first, second := interrupts(signals)
	p := &parts{}
	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, p.start(controlPlane, exec.Command("sh", "-c", "trap 'echo drains' TERM; echo runs; while :; do sleep 0.05; done"), log))
	require.Eventually(t, prints(log, "runs"), startTimeout, 10*time.Millisecond)

	signals <- os.Interrupt
	<-first.Done()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.stopAll(second)
	}()
	require.Eventually(t, prints(log, "drains"), startTimeout, 10*time.Millisecond)
	require.NoError(t, second.Err())
	signals <- os.Interrupt
	<-stopped
	require.Error(t, second.Err())
	<-p.running[0].done
}

func prints(log, text string) func() bool {
	return func() bool {
		printed, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(printed), text)
	}
}
