// Package controlplanetest runs all of Lambda Dispatch for a test: a real Envoy, the control plane in this process, and
// lambdalocal with real function processes. Nothing in it sleeps to wait for a state: it polls what an operator could see.
package controlplanetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/dynamo/dynamotest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// Patience bounds every wait of this package. It only matters to tests that fail.
const Patience = 30 * time.Second

// envoyGrace is how long Envoy may take to end before it is killed.
const envoyGrace = 5 * time.Second

// A Function is one function of a Stack: how it is configured here, and how it runs there.
type Function struct {
	config.Function
	Local lambdalocal.Function // Name is filled in; without a Command the function is not in lambdalocal
}

// Options say what to run.
type Options struct {
	Functions []Function
	Config    func(*config.Config) // last word on the control plane's configuration
	Workers   int                  // of Envoy; default 2
	// Linked puts a link of lambdalocal between environments and the relay, so that network faults can strike. With Split there is one
	// before each control plane, too.
	Linked bool
	// Program is the path of a control plane that runs as a process of its own, instead of the code under test.
	Program string
	// Apart makes the relay a part of its own, in this process, and control planes processes of the code under test, which can be
	// killed: Leader is the first of them.
	Apart bool
	// Build is the path of a lambda-dispatch which is relay and control planes with Apart, instead of the code under test. Use replaces it.
	Build string
	// Split is Apart with control planes that are reached by TCP and certificates, and a lease in an emulated DynamoDB. Without that
	// it skips the test.
	Split bool
}

// A Stack is everything, running. It stops, in order, when its test ends.
type Stack struct {
	Lambda *lambdalocal.Server
	Envoy  *envoy.Process
	Config *config.Config
	Front  string        // host:port of the first listener
	Admin  string        // host:port of the control plane's admin address
	Relay  string        // host:port that the relay listens on
	Leader *ControlPlane // with Options.Apart: the first control plane

	t                testing.TB
	dir              string
	file             string        // of the control plane's configuration
	binary           string        // of Envoy
	workers          int           // of Envoy
	envoyLog         *os.File      // of every Envoy
	crash            chan struct{} // kills Options.Program
	stopControlPlane func()
	stopRelay        func()
	build            string // Options.Build
	started          int    // control planes apart
	relayAdmin       string // host:port of the relay's admin address, where it has one
	pair             string // with Options.Split: folder of the certificates of Envoy and relay
	lease            *dynamotest.Emulator
	places           []lambdalocal.Link // with Options.Split: of control planes, which listen at To
}

// Start runs a stack and returns when its front door is open. Where there is no Envoy it skips the test.
func Start(t testing.TB, o Options) *Stack {
	t.Helper()
	binary := envoytest.Binary(t)
	dir, err := os.MkdirTemp("", "ld") // t.TempDir is too long for unix sockets
	require.NoError(t, err)
	s := &Stack{t: t, dir: dir, binary: binary, workers: max(o.Workers, 2), build: o.Build}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.startLambda(o)
	s.configure(o)
	switch {
	case o.Apart || o.Split:
		s.startRelay()
		s.Leader = s.StartControlPlane()
	case o.Program != "":
		s.startProgram(o.Program)
	default:
		s.startControlPlane()
	}
	s.openEnvoyLog()
	s.startEnvoy()
	return s
}

func (s *Stack) startLambda(o Options) {
	cfg := lambdalocal.Default()
	cfg.Address = "127.0.0.1:0"
	if o.Linked {
		s.Relay = freeAddress(s.t) // the link must know it first
		cfg.Links = []lambdalocal.Link{{Listen: "127.0.0.1:0", To: s.Relay}}
	}
	if o.Split {
		s.findPlaces(o.Linked)
		if o.Linked {
			cfg.Links = append(cfg.Links, s.places...)
		}
	}
	for _, f := range o.Functions {
		if f.Local.Command == nil {
			continue
		}
		f.Local.Name = f.Name
		cfg.Functions = append(cfg.Functions, f.Local)
	}
	if len(cfg.Functions) == 0 {
		return
	}
	server, err := lambdalocal.New(cfg, s.logger("lambdalocal"))
	require.NoError(s.t, err)
	s.Lambda = server
	s.background("lambdalocal", server.Run)
}

func (s *Stack) configure(o Options) {
	cfg := config.Default()
	cfg.StateDir = filepath.Join(s.dir, "s")
	cfg.Listeners[0].Address = "127.0.0.1:0"
	cfg.Admin.Address = "127.0.0.1:0"
	cfg.Relay.Address = "127.0.0.1:0"
	cfg.Shutdown.Grace = 0 // which would cost each test a second
	if s.Lambda != nil {
		cfg.AWS.Endpoint = s.Lambda.InvokeURL()
	}
	if o.Linked {
		cfg.Relay.Address, cfg.Relay.Advertise = s.Relay, s.Lambda.LinkAddrs()[0]
	}
	for _, f := range o.Functions {
		cfg.Functions = append(cfg.Functions, f.Function)
	}
	if o.Split {
		s.split(&cfg)
	}
	if o.Config != nil {
		o.Config(&cfg)
	}
	require.NoError(s.t, cfg.Validate())
	s.Config = &cfg
}

func (s *Stack) startControlPlane() {
	server, err := controlplane.New(s.t.Context(), s.Config, s.logger("controlplane"))
	require.NoError(s.t, err)
	server.Follow(s.source())
	s.Admin, s.Relay = server.AdminAddr(), server.RelayAddr()
	s.stopControlPlane = s.background("controlplane", server.Run)
}

// startEnvoy waits until the control plane says that Envoy has what it needs, and Envoy that its listeners are open.
func (s *Stack) startEnvoy() {
	s.openEnvoy()
	s.Eventually("ready", func() error {
		status, body := s.AdminGet("/readyz")
		if status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

// openEnvoy waits until Envoy says that its listeners are open.
func (s *Stack) openEnvoy() {
	ctx, cancel := context.WithTimeout(s.t.Context(), Patience)
	defer cancel()
	process, err := envoy.Start(context.Background(), envoy.Options{
		Bootstrap: s.bootstrap(),
		Binary:    s.binary, StateDir: s.Config.StateDir, AdminAddress: "127.0.0.1:0", Concurrency: s.workers, Log: s.envoyLog,
	})
	require.NoError(s.t, err)
	s.Envoy = process
	s.t.Cleanup(func() { process.Stop(envoyGrace) })
	require.NoError(s.t, s.Envoy.Ready(ctx))
	listeners, err := s.Envoy.Listeners(ctx)
	require.NoError(s.t, err)
	s.Front = listeners[s.Config.Listeners[0].Name]
}

func (s *Stack) openEnvoyLog() {
	log, err := os.Create(filepath.Join(s.dir, "envoy.log"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { s.showOnFailure("envoy", log) })
	s.envoyLog = log
}

// background runs a part until the test ends, or until stop, and fails the test if the part ends before or badly.
func (s *Stack) background(name string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				s.t.Errorf("%s: %v", name, err)
			}
		case <-time.After(Patience):
			s.t.Errorf("%s has not ended %v after it was stopped", name, Patience)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// logger collects a part's log and shows it if the test fails.
func (s *Stack) logger(name string) logrus.FieldLogger {
	file, err := os.Create(filepath.Join(s.dir, name+".log"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { s.showOnFailure(name, file) })
	log := logrus.New()
	log.SetOutput(file)
	log.SetLevel(logrus.DebugLevel)
	log.SetFormatter(&logrus.TextFormatter{TimestampFormat: "15:04:05.000", FullTimestamp: true})
	return log
}

const shownOnFailure = 16 << 10

func (s *Stack) showOnFailure(name string, file *os.File) {
	defer file.Close()
	if !s.t.Failed() {
		return
	}
	if info, err := file.Stat(); err == nil && info.Size() > shownOnFailure {
		_, _ = file.Seek(-shownOnFailure, io.SeekEnd)
	} else {
		_, _ = file.Seek(0, io.SeekStart)
	}
	text, _ := io.ReadAll(file)
	s.t.Logf("%s said:\n%s", name, text)
}

// StopEnvoy ends Envoy before the test does.
func (s *Stack) StopEnvoy() { s.Envoy.Stop(envoyGrace) }

// RestartEnvoy ends Envoy, connections cut, and returns when a new one's front door is open. Front is another one then.
func (s *Stack) RestartEnvoy() {
	s.t.Helper()
	s.StopEnvoy()
	s.startEnvoy()
}

// RestartEnvoyAlone is RestartEnvoy while no control plane leads.
func (s *Stack) RestartEnvoyAlone() {
	s.t.Helper()
	s.StopEnvoy()
	s.openEnvoy()
}

// StopControlPlane does what SIGTERM does to the control plane, and returns when it has ended.
func (s *Stack) StopControlPlane() { s.stopControlPlane() }
