package controlplane_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// valid is a configuration that fits beside any other process. Its function would start two instances at once.
func valid(t *testing.T) *controlplane.Config {
	dir, err := os.MkdirTemp("", "ld") // t.TempDir is too long for unix sockets
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := config.Default()
	cfg.StateDir = filepath.Join(dir, "state")
	cfg.Admin.Address, cfg.Relay.Address = "127.0.0.1:0", "127.0.0.1:0"
	cfg.AWS.Endpoint = "http://127.0.0.1:1"
	f := config.DefaultFunction()
	f.Name, f.Routes, f.Scaling.Min = "web", []config.Route{{Path: "/web"}}, 2
	cfg.Functions = []config.Function{f}
	require.NoError(t, cfg.Validate())
	return &cfg
}

func open(t *testing.T, cfg *controlplane.Config) (*controlplane.Server, *logtest.Hook) {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	s, err := controlplane.New(t.Context(), cfg, log)
	require.NoError(t, err)
	return s, hook
}

// giveUp is the canceled Run that gives back what New opened.
func giveUp(t *testing.T, s *controlplane.Server) {
	t.Helper()
	ended, end := context.WithCancel(t.Context())
	end()
	require.NoError(t, s.Run(ended))
}

func TestWhatIsWrongIsFoundByNewInOneLineAndNothingStaysOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for name, wrong := range map[string]struct {
		change func(*testing.T, *controlplane.Config)
		says   []string
	}{
		"admin port in use": {
			func(_ *testing.T, c *controlplane.Config) { c.Admin.Address = taken.Addr().String() },
			[]string{"admin address", taken.Addr().String(), "in use"},
		},
		"relay port in use": {
			func(_ *testing.T, c *controlplane.Config) { c.Relay.Address = taken.Addr().String() },
			[]string{"relay", taken.Addr().String(), "in use"},
		},
		"state_dir is a file": {
			func(t *testing.T, c *controlplane.Config) { require.NoError(t, os.WriteFile(c.StateDir, nil, 0o600)) },
			[]string{"state_dir", "not a directory"},
		},
		"something else at the control socket": {
			func(t *testing.T, c *controlplane.Config) {
				require.NoError(t, os.MkdirAll(filepath.Join(c.StateDir, "control.sock", "full"), 0o700))
			},
			[]string{"control socket", "not empty"},
		},
		"no certificate": {
			func(_ *testing.T, c *controlplane.Config) {
				c.Relay.TLS, c.Relay.CertificateFile, c.Relay.KeyFile = config.RelayTLSFiles, "/nowhere/cert", "/nowhere/key"
			},
			[]string{"relay", "certificate", "/nowhere/cert"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken := valid(t)
			wrong.change(t, broken)
			_, err := controlplane.New(t.Context(), broken, quiet())
			require.Error(t, err)
			require.NotContains(t, err.Error(), "\n")
			for _, word := range wrong.says {
				require.ErrorContains(t, err, word)
			}
			right := valid(t)
			require.NoError(t, os.RemoveAll(broken.StateDir))
			right.StateDir = broken.StateDir
			s, _ := open(t, right)
			giveUp(t, s)
		})
	}
}

// Metrics for CloudWatch are what a control plane prints, and nothing else.
func TestMetricsForCloudWatchGoToStandardOutput(t *testing.T) {
	out, in, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = in
	cfg := valid(t)
	cfg.EMF.Interval, cfg.Shutdown.Grace = time.Second, 0
	s, _ := open(t, cfg)
	os.Stdout = stdout
	giveUp(t, s) // it says what is left when it ends
	require.NoError(t, in.Close())
	var line map[string]any
	require.NoError(t, json.NewDecoder(out).Decode(&line))
	require.Equal(t, "web", line["Function"])
	require.Contains(t, line, "_aws")
	require.NoError(t, out.Close())
}

func TestAFailedNewGivesThePortAndTheStateDirBack(t *testing.T) {
	cfg := valid(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg.Admin.Address = taken.Addr().String()
	cfg.Relay.Address = freeAddress(t)
	_, err = controlplane.New(t.Context(), cfg, quiet())
	require.ErrorContains(t, err, "admin address")
	require.NoError(t, taken.Close())
	s, _ := open(t, cfg)
	giveUp(t, s)
}

// A standby opens its address after all else.
func TestAFailedNewGivesTheAdminAddressBack(t *testing.T) {
	cfg := valid(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg.Relay.Apart, cfg.Admin.Address = true, freeAddress(t)
	cfg.Cell.Address = taken.Addr().String()
	cfg.Cell.ControlPlanes = []string{cfg.Cell.Address}
	require.NoError(t, cfg.Validate())
	_, err = controlplane.New(t.Context(), cfg, quiet())
	require.ErrorContains(t, err, "cell.address")
	again, err := net.Listen("tcp", cfg.Admin.Address)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	require.NoError(t, taken.Close())
}

func TestOneStateDirServesOneProcess(t *testing.T) {
	first := valid(t)
	s, _ := open(t, first)
	second := valid(t)
	second.StateDir = first.StateDir
	impatient, end := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer end()
	_, err := controlplane.New(impatient, second, quiet())
	require.EqualError(t, err, "state_dir: another process uses "+first.StateDir+", and has not ended meanwhile")
	conn, err := net.Dial("unix", filepath.Join(first.StateDir, "control.sock"))
	require.NoError(t, err, "the first one's socket is untouched")
	require.NoError(t, conn.Close())
	giveUp(t, s)
	s, _ = open(t, second)
	giveUp(t, s)
}

// Whoever deploys starts the new process when the old one has been told to stop, and need not know when it has ended.
func TestASuccessorWaitsForItsPredecessor(t *testing.T) {
	cfg := valid(t)
	cfg.Admin.Address, cfg.Relay.Address = freeAddress(t), freeAddress(t)
	first, _ := open(t, cfg)
	log, hook := logtest.NewNullLogger()
	opened := make(chan *controlplane.Server, 1)
	go func() {
		s, err := controlplane.New(t.Context(), cfg, log)
		assert.NoError(t, err)
		opened <- s
	}()
	require.Eventually(t, func() bool { return len(messages(hook, logrus.WarnLevel, "waiting for it to end")) == 1 }, patience, time.Millisecond)
	require.Empty(t, opened)
	giveUp(t, first)
	second := <-opened
	require.NotNil(t, second)
	require.Equal(t, cfg.Admin.Address, second.AdminAddr())
	require.Len(t, messages(hook, logrus.WarnLevel, "waiting for it to end"), 1, "it is said once")
	giveUp(t, second)
}

// forTheNext is what a process leaves in the state directory.
var forTheNext = []string{"token.key", "relay.ca", "relay.book"}

func TestACanceledRunStartsNothingAndLeavesNothing(t *testing.T) {
	cfg := valid(t)
	s, log := open(t, cfg)
	giveUp(t, s)
	require.Empty(t, messages(log, logrus.InfoLevel, "instance starts"))
	require.NoError(t, filepath.WalkDir(cfg.StateDir, func(path string, e fs.DirEntry, err error) error {
		require.True(t, err != nil || e.IsDir() || slices.Contains(forTheNext, e.Name()), path)
		return err
	}))
	for _, address := range []string{s.AdminAddr(), s.RelayAddr()} {
		l, err := net.Listen("tcp", address)
		require.NoError(t, err, "the port is free again")
		require.NoError(t, l.Close())
	}
}

func TestWhatStrangersMayReachIsWarnedOf(t *testing.T) {
	const admin, relay = "asks for no token", "unencrypted"
	for name, c := range map[string]struct {
		change func(*controlplane.Config)
		warns  []string
	}{
		"loopback, without TLS":    {func(c *controlplane.Config) { c.Relay.TLS = config.RelayTLSOff }, nil},
		"relay with TLS for all":   {func(c *controlplane.Config) { c.Relay.Address, c.Relay.Advertise = ":0", "relay.test:1" }, nil},
		"admin for all interfaces": {func(c *controlplane.Config) { c.Admin.Address = "0.0.0.0:0" }, []string{admin}},
		"admin for IPv6 too":       {func(c *controlplane.Config) { c.Admin.Address = ":0" }, []string{admin}},
		"relay for all without TLS": {func(c *controlplane.Config) {
			c.Relay.Address, c.Relay.Advertise, c.Relay.TLS = ":0", "relay.test:1", config.RelayTLSOff
		}, []string{relay}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid(t)
			cfg.Functions = nil
			c.change(cfg)
			s, log := open(t, cfg)
			ctx, end := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			require.Eventually(t, func() bool { return len(messages(log, logrus.InfoLevel, "control plane runs")) > 0 },
				patience, time.Millisecond)
			end()
			require.NoError(t, <-done)
			require.Len(t, messages(log, logrus.WarnLevel, ""), len(c.warns))
			for _, warning := range c.warns {
				require.NotEmpty(t, messages(log, logrus.WarnLevel, warning))
			}
		})
	}
}

// messages returns what was logged at a level and contains a text.
func messages(log *logtest.Hook, level logrus.Level, text string) []string {
	var found []string
	for _, e := range log.AllEntries() {
		if e.Level == level && strings.Contains(e.Message, text) {
			found = append(found, e.Message)
		}
	}
	return found
}

func quiet() logrus.FieldLogger {
	log, _ := logtest.NewNullLogger()
	return log
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
