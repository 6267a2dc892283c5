package envoy_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBootstrapSaysWhereItsPartsAre(t *testing.T) {
	plain, err := envoy.Bootstrap("", "")
	require.NoError(t, err)
	file, err := os.ReadFile("bootstrap.yaml")
	require.NoError(t, err)
	require.Equal(t, string(file), string(plain))
	require.Contains(t, string(plain), envoy.DefaultStateDir+"/control.sock")

	moved, err := envoy.Bootstrap(`/tmp/a "b"`, "[::1]:0")
	require.NoError(t, err)
	var tree struct {
		Admin struct {
			Address struct {
				Socket struct {
					Address string `yaml:"address"`
					Port    int    `yaml:"port_value"`
				} `yaml:"socket_address"`
			} `yaml:"address"`
		} `yaml:"admin"`
	}
	require.NoError(t, yaml.Unmarshal(moved, &tree))
	require.Equal(t, "::1", tree.Admin.Address.Socket.Address)
	require.Zero(t, tree.Admin.Address.Socket.Port)
	require.NotContains(t, string(moved), envoy.DefaultStateDir)
	require.Contains(t, string(moved), `{path: "/tmp/a \"b\"/control.sock"}`)

	_, err = envoy.Bootstrap("", "nowhere")
	require.ErrorContains(t, err, `admin address "nowhere"`)
}

func TestFindPrefersWhatSomebodyAskedFor(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("PATH", dir)
	t.Setenv("ENVOY", "")
	_, err := envoy.Find(t.Context())
	require.ErrorIs(t, err, envoy.ErrNotFound)

	fetched := filepath.Join(dir, envoy.ToolsDir, "envoy-"+envoy.Version, "envoy")
	fakeEnvoy(t, fetched, envoy.Version)
	below := filepath.Join(dir, "some", "package")
	require.NoError(t, os.MkdirAll(below, 0o755))
	t.Chdir(below)
	requireFound(t, fetched)

	onPath := filepath.Join(dir, "envoy")
	fakeEnvoy(t, onPath, "1.39.0")
	requireFound(t, fetched) // another version does not do
	fakeEnvoy(t, onPath, envoy.Version)
	requireFound(t, onPath)

	asked := filepath.Join(t.TempDir(), "mine")
	fakeEnvoy(t, asked, envoy.Version)
	t.Setenv("ENVOY", asked)
	requireFound(t, asked)
	for _, version := range envoy.Tested() {
		fakeEnvoy(t, asked, version)
		requireFound(t, asked)
	}
	fakeEnvoy(t, asked, "1.39.0")
	_, err = envoy.Find(t.Context())
	require.ErrorContains(t, err, "is not envoy "+envoy.Version)
	require.NoError(t, os.WriteFile(asked, []byte("#!/bin/sh\necho hello\n"), 0o755))
	_, err = envoy.Find(t.Context())
	require.ErrorContains(t, err, `is not envoy but says "hello"`)
}

// Somebody runs build/lambda-dispatch in the folder of an app.
func TestFindLooksBesideTheProgram(t *testing.T) {
	if os.Getenv("FIND_ENVOY_HERE") != "" {
		path, err := envoy.Find(t.Context())
		require.NoError(t, err)
		fmt.Println("found " + path)
		return
	}
	root := t.TempDir()
	fetched := filepath.Join(root, envoy.ToolsDir, "envoy-"+envoy.Version, "envoy")
	fakeEnvoy(t, fetched, envoy.Version)
	self, err := os.Executable()
	require.NoError(t, err)
	binary, err := os.ReadFile(self)
	require.NoError(t, err)
	program := filepath.Join(root, "build", "program")
	require.NoError(t, os.MkdirAll(filepath.Dir(program), 0o755))
	require.NoError(t, os.WriteFile(program, binary, 0o755))

	c := exec.CommandContext(t.Context(), program, "-test.run=^TestFindLooksBesideTheProgram$")
	c.Dir, c.Env = t.TempDir(), append(os.Environ(), "FIND_ENVOY_HERE=yes", "ENVOY=", "PATH=/bin")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "found "+fetched+"\n")
}

func requireFound(t *testing.T, want string) {
	t.Helper()
	got, err := envoy.Find(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// fakeEnvoy writes a program that knows its version.
func fakeEnvoy(t *testing.T, path, version string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	script := "#!/bin/sh\necho '/usr/bin/envoy  version: 0123/" + version + "/Clean/RELEASE/BoringSSL'\n"
	require.NoError(t, os.WriteFile(path, []byte(script), 0o755))
}

func TestFetchSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var progress bytes.Buffer
	dir := t.TempDir()
	_, err := envoy.Fetch(t.Context(), dir, envoy.Version, &progress)
	require.ErrorContains(t, err, "python3 is not on PATH")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "nothing half done stays")
}

func TestStartRunsAnEnvoyThatWaitsForItsControlPlane(t *testing.T) {
	var log syncBuffer
	p, err := envoy.Start(t.Context(), envoy.Options{
		Binary: envoytest.Binary(t), StateDir: t.TempDir(), AdminAddress: "127.0.0.1:0", Concurrency: 1, Log: &log,
	})
	require.NoError(t, err)
	defer p.Stop(patience)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stats, err := p.Stats(ctx, "cluster.control.")
	require.NoError(t, err)
	require.NotEmpty(t, stats)
	_, err = p.Admin(ctx, "GET", "/ready")
	require.ErrorContains(t, err, "503", "no control plane, no listener")
	listeners, err := p.Listeners(ctx)
	require.NoError(t, err)
	require.Empty(t, listeners)
	requireNothingForPages(ctx, t, p)

	p.Stop(patience)
	p.Stop(patience)
	require.NoError(t, p.Wait(), "SIGTERM is a way to end")
	require.ErrorContains(t, p.Ready(ctx), "has ended before")
}

// requireNothingForPages expects that a web page, which can send what it likes, gets numbers at most.
func requireNothingForPages(ctx context.Context, t *testing.T, p *envoy.Process) {
	t.Helper()
	for _, path := range []string{
		"/quitquitquit", "/drain_listeners", "/healthcheck/fail", "/logging?level=trace", "/reset_counters", "/runtime_modify?a=b",
		"/stats/recentlookups/enable", "/config_dump", "/certs", "/", "/config_dump?a=/stats", "//config_dump", "/stats/../config_dump",
		"/%63onfig_dump",
	} {
		for _, method := range []string{"GET", "POST"} {
			_, err := p.Admin(ctx, method, path)
			require.ErrorContains(t, err, "403", "%s %s", method, path)
		}
	}
	for _, path := range []string{"/server_info", "/clusters", "/clusters?format=json", "/stats?filter=ext_proc", "/stats/prometheus"} {
		_, err := p.Admin(ctx, "GET", path)
		require.NoError(t, err, path)
	}
}

func TestStartTellsThatEnvoyCannotRun(t *testing.T) {
	var log syncBuffer
	p, err := envoy.Start(t.Context(), envoy.Options{Binary: envoytest.Binary(t), AdminAddress: "192.0.2.1:1", LogLevel: "error", Log: &log})
	require.NoError(t, err)
	require.ErrorContains(t, p.Ready(t.Context()), "exit status 1")
	require.Error(t, p.Wait())
	require.Contains(t, log.String(), "192.0.2.1")

	_, err = envoy.Start(t.Context(), envoy.Options{Binary: "/nowhere/envoy"})
	require.ErrorContains(t, err, "/nowhere/envoy")
	_, err = envoy.Start(t.Context(), envoy.Options{})
	require.ErrorContains(t, err, "no binary given")
}

func TestValidate(t *testing.T) {
	binary := envoytest.Binary(t)
	config, err := envoy.Bootstrap("", "")
	require.NoError(t, err)
	require.NoError(t, envoy.Validate(t.Context(), binary, config))
	err = envoy.Validate(t.Context(), binary, []byte(`{"nonsense": 1}`))
	require.ErrorContains(t, err, "envoy rejects the configuration")
	require.ErrorContains(t, err, "nonsense")
}
