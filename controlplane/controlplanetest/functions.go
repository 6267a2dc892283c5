package controlplanetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

const module = "github.com/lambda-dispatch/lambda-dispatch/"

// A Peer is one of the two ways to put lambdapeer into a function.
type Peer string

// Peers.
const (
	Library Peer = "library" // the app is a Go program that serves through the library
	Binary  Peer = "binary"  // the app is a plain HTTP server, with the lambdapeer binary as an extension
)

// Peers lists both.
var Peers = []Peer{Library, Binary}

// App returns a function that runs the test app (folder app) at the path /name, which the app does not see.
func App(t testing.TB, name string, peer Peer) Function {
	t.Helper()
	f := Function{Function: config.DefaultFunction(), Local: lambdalocal.DefaultFunction(name)}
	f.Name = name
	f.Routes = []config.Route{{Path: "/" + name, StripPrefix: true}}
	f.Scaling.Preference = config.PreferCost // nothing is started but for requests and the minimum
	f.Local.Timeout = 15 * time.Minute
	f.Local.MemoryMB = 512
	f.Local.Command = []string{Build(t, "controlplane/controlplanetest/app")}
	f.Local.Env = map[string]string{}
	if peer == Binary {
		f.Local.Env["APP_PLAIN"] = "1"
		f.Local.Extensions = []lambdalocal.Extension{lambdalocal.Program(Build(t, "lambdapeer/cmd/lambdapeer"))}
	}
	return f
}

// builds are the programs built so far. They live as long as the test process.
var builds struct {
	sync.Mutex
	dir   string
	paths map[string]string
}

// Build compiles the program in one of the project's folders, once per test process, and returns its path.
func Build(t testing.TB, folder string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if builds.paths == nil {
		dir, err := os.MkdirTemp("", "ldbin")
		require.NoError(t, err)
		builds.dir, builds.paths = dir, map[string]string{}
	}
	if path := builds.paths[folder]; path != "" {
		return path
	}
	path := filepath.Join(builds.dir, filepath.Base(folder))
	out, err := exec.Command("go", "build", "-o", path, module+folder).CombinedOutput()
	require.NoError(t, err, "%s", out)
	builds.paths[folder] = path
	return path
}

// Main is what TestMain of a package that starts stacks calls: it runs the tests and removes what was built for them.
func Main(m *testing.M) {
	code := m.Run()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
	}
	os.Exit(code)
}
