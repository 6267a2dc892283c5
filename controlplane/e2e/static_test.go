package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A staticFunction is one whose peers register by themselves, with its token.
type staticFunction struct {
	controlplanetest.Function
	token string
	app   string // the test app's program
}

func newStatic(t *testing.T, name string) staticFunction {
	t.Helper()
	f := staticFunction{Function: siteApp(t, name, controlplanetest.Library), token: "token of " + name + ", long enough"}
	f.app, f.Local.Command = f.Local.Command[0], nil
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(f.token+"\n"), 0o600))
	f.Provider, f.Static.TokenFile, f.Scaling.Min = config.ProviderStatic, file, 0
	return f
}

// withCertificate gives the relay a certificate that peers can check before they have an invocation.
func withCertificate(t *testing.T) func(*config.Config) {
	certificate, key := makeCertificate(t)
	return func(c *config.Config) {
		c.Relay.TLS = config.RelayTLSFiles
		c.Relay.CertificateFile, c.Relay.KeyFile, c.Relay.CAFile = certificate, key, certificate
	}
}

func withoutTLS(c *config.Config) { c.Relay.TLS = config.RelayTLSOff }

// makeCertificate writes a certificate of 127.0.0.1 that is its own authority.
func makeCertificate(t *testing.T) (certificateFile, keyFile string) {
	t.Helper()
	return keypairtest.Files(t, keypairtest.Wish{Names: []string{"127.0.0.1"}})
}

// A peerProcess is a peer that nobody invoked: the app with the library inside, or the app below the lambdapeer binary.
type peerProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	said bytes.Buffer
	kill func()
	end  chan error
}

func (f staticFunction) start(t *testing.T, s *controlplanetest.Stack, peer controlplanetest.Peer, env ...string) *peerProcess {
	t.Helper()
	p := &peerProcess{t: t, cmd: exec.Command(f.app), end: make(chan error, 1)}
	if peer == controlplanetest.Binary {
		p.cmd = exec.Command(controlplanetest.Build(t, "lambdapeer/cmd/lambdapeer"), "--", f.app)
		p.cmd.Env = []string{contract.PlainVariable + "=1", "PORT=" + freePort(t)}
	}
	relay := "http://" + s.Relay
	if s.Config.Relay.TLS == config.RelayTLSFiles {
		relay = "https://" + s.Relay
		p.cmd.Env = append(p.cmd.Env, "LAMBDA_DISPATCH_PEER_CA_FILE="+s.Config.Relay.CAFile)
	}
	p.cmd.Env = append(p.cmd.Env, "LAMBDA_DISPATCH_PEER_RELAY="+relay, "LAMBDA_DISPATCH_PEER_FUNCTION="+f.Name, "LAMBDA_DISPATCH_PEER_TOKEN="+f.token)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.run()
	return p
}

// run starts the process, and sees to its end when the test ends.
func (p *peerProcess) run() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Start())
	p.kill = sync.OnceFunc(func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }) // the app below it, too
	go func() { p.end <- p.cmd.Wait() }()
	p.t.Cleanup(func() {
		p.kill()
		if p.t.Failed() {
			p.t.Logf("peer said:\n%s", p.said.String())
		}
	})
}

// stop does what a container's orchestrator does, and returns how the process ended.
func (p *peerProcess) stop() error {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	return p.wait()
}

func (p *peerProcess) wait() error {
	p.t.Helper()
	select {
	case err := <-p.end:
		return err
	case <-time.After(controlplanetest.Patience):
		require.Fail(p.t, "the peer has not ended")
		return nil
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return port
}

// Peers that register by themselves serve, drain, come back, and leave.
func TestLongSelfRegisteredPeers(t *testing.T) {
	t.Parallel()
	tls := map[string]func(*config.Config){"tls": withCertificate(t), "plain": withoutTLS}
	for name, relay := range tls {
		t.Run(name, func(t *testing.T) {
			functions := map[controlplanetest.Peer]staticFunction{}
			o := controlplanetest.Options{Config: relay}
			for _, peer := range controlplanetest.Peers {
				functions[peer] = newStatic(t, string(peer))
				o.Functions = append(o.Functions, functions[peer].Function)
			}
			stack := controlplanetest.Start(t, o)
			for _, peer := range controlplanetest.Peers {
				t.Run(string(peer), func(t *testing.T) {
					lifeOfAPeer(newSite(t, stack, string(peer), controlplanetest.HTTP1), functions[peer], peer)
				})
			}
		})
	}
}

func lifeOfAPeer(s site, f staticFunction, peer controlplanetest.Peer) {
	early := s.ask(s.request(http.MethodGet, "/hello", nil))
	s.eventuallyQueued(1)
	first := f.start(s.t, s.Stack, peer)
	require.Equal(s.t, http.StatusOK, early.wait(s).StatusCode, "a request that came before the peer")

	// Somebody drains it: what is in flight finishes, and it comes back as another instance of the same environment.
	old := s.Instances(s.name)[0]
	process := s.process()
	long := s.ask(s.request(http.MethodGet, "/sleep?ms=500", nil))
	s.Eventually("in flight", func() error { return s.inFlight(1) })
	status, body := s.AdminPost("/api/v1/instances/" + old.ID + "/drain")
	require.Equal(s.t, http.StatusAccepted, status, body)
	next := s.ask(s.request(http.MethodGet, "/hello", nil))
	require.Equal(s.t, http.StatusOK, long.wait(s).StatusCode)
	require.Equal(s.t, http.StatusOK, next.wait(s).StatusCode, "it waits for the peer to come back")
	back := s.eventuallyInstances(1)[0]
	require.Equal(s.t, old.Environment, back.Environment)
	require.NotEqual(s.t, old.ID, back.ID)
	require.Equal(s.t, process, s.process())

	// A second one joins, and serves alone when the first is told to end, with a request in flight.
	second := f.start(s.t, s.Stack, peer)
	s.eventuallyInstances(2)
	last := s.ask(s.request(http.MethodGet, "/sleep?ms=500", nil))
	s.Eventually("in flight", func() error { return s.inFlight(1) })
	require.NoError(s.t, first.stop())
	require.Equal(s.t, http.StatusOK, last.wait(s).StatusCode)
	require.NotEqual(s.t, old.Environment, s.eventuallyInstances(1)[0].Environment)
	for range 10 {
		require.NotEqual(s.t, process, s.process())
	}
	ends := s.Function(s.name).Ends
	require.EqualValues(s.t, 1, ends[string(wire.ReasonOperator)], ends)
	require.EqualValues(s.t, 1, ends[string(wire.ReasonShutdown)], ends)

	second.kill()
	require.Error(s.t, second.wait())
	s.eventuallyInstances(0)
	require.Zero(s.t, s.Function(s.name).Starts, "nobody is invoked for it")
}

// eventuallyInstances waits until so many are ready, and no other is left.
func (s site) eventuallyInstances(n int) []operator.Instance {
	s.t.Helper()
	var all []operator.Instance
	s.Eventually(fmt.Sprint(n, " instances"), func() error {
		all = s.Instances(s.name)
		if ready := s.Function(s.name).Ready; len(all) != n || ready != n {
			return fmt.Errorf("there are %d, of which %d are ready", len(all), ready)
		}
		return nil
	})
	return all
}

// A peer with the wrong token goes on asking, does no harm, and says why.
func TestAPeerWithTheWrongToken(t *testing.T) {
	t.Parallel()
	f := newStatic(t, "web")
	stack := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f.Function}, Config: withCertificate(t)})
	wrong := f
	wrong.token = "of another one, long enough"
	p := wrong.start(t, stack, controlplanetest.Library)
	stack.Eventually("refused twice", func() error {
		if n := (relayDoor{t: t, stack: stack}).refusals()["register_refused"]; n < 2 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	require.NoError(t, p.stop())
	require.Contains(t, p.said.String(), "401")
	require.Empty(t, stack.Instances("web"))
}
