package e2e_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
)

// Scenario 46: a certificate that is renewed is served within seconds, and no connection is cut for it. One that does not fit, or has
// expired, is not served; /readyz and metrics tell.
func TestAListenersCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	certificate, key := keypairtest.Files(t, keypairtest.Wish{CommonName: "first", Names: []string{"front.test"}})
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{siteApp(t, "web", controlplanetest.Library)},
		Config: func(c *config.Config) {
			c.Listeners = append(c.Listeners, config.DefaultListener())
			c.Listeners[1].Name, c.Listeners[1].Address = "secure", "127.0.0.1:0"
			c.Listeners[1].TLS = &config.ListenerTLS{CertificateFile: certificate, KeyFile: key}
		},
	}), "web", controlplanetest.HTTP1)
	listeners, err := s.Envoy.Listeners(t.Context())
	require.NoError(t, err)
	door := secureDoor{site: s, address: listeners["secure"]}

	old := door.dial()
	require.Equal(t, "first", old.shows)
	old.asks("/hello")
	slow := make(chan struct{})
	waiting := door.dial()
	go func() {
		defer close(slow)
		waiting.asks("/sleep?ms=4000")
	}()
	s.Eventually("in flight", func() error { return s.inFlight(1) })

	until := time.Now().Add(48 * time.Hour).Truncate(time.Second)
	keypairtest.Replace(t, certificate, key, keypairtest.Wish{CommonName: "second", Names: []string{"front.test"}, Until: until})
	door.eventuallyShows("second")
	old.asks("/hello")
	require.EqualValues(t, until.Unix(), s.metric(`lambda_dispatch_certificate_expiry_timestamp_seconds{certificate="listener/secure"}`))

	other, _ := keypairtest.PEM(t, keypairtest.Wish{CommonName: "of another key", Names: []string{"front.test"}})
	require.NoError(t, os.WriteFile(certificate, other, 0o600))
	s.eventuallyNotTaken("listener/secure", "private key does not match public key")
	require.Equal(t, "second", door.dial().shows)
	keypairtest.Replace(t, certificate, key, keypairtest.Wish{CommonName: "too late", Names: []string{"front.test"}, Until: time.Now().Add(-time.Minute)})
	s.eventuallyNotTaken("listener/secure", "the certificate has expired")
	require.Equal(t, "second", door.dial().shows)

	keypairtest.Replace(t, certificate, key, keypairtest.Wish{CommonName: "third", Names: []string{"front.test"}})
	door.eventuallyShows("third")
	require.Zero(t, s.metric(`lambda_dispatch_files_not_taken{file="listener/secure"}`))
	<-slow
	old.asks("/hello")
	require.Empty(t, s.Function("web").StartFailures)
}

// eventuallyNotTaken waits until operators can see that files are not taken, and why.
func (s site) eventuallyNotTaken(name, why string) {
	s.t.Helper()
	s.Eventually("not taken", func() error {
		status, body := s.AdminGet("/readyz")
		require.Equal(s.t, http.StatusOK, status, "what is served goes on")
		if !strings.Contains(body, name) || !strings.Contains(body, why) {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	require.EqualValues(s.t, 1, s.metric(`lambda_dispatch_files_not_taken{file="`+name+`"}`))
}

// A secureDoor is a listener with TLS.
type secureDoor struct {
	site
	address string
}

// A secureConn is one connection to it, for one request after the other.
type secureConn struct {
	secureDoor
	conn  *tls.Conn
	in    *bufio.Reader
	shows string // the certificate's name
}

func (d secureDoor) dial() secureConn {
	d.t.Helper()
	conn, err := tls.Dial("tcp", d.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	require.NoError(d.t, err)
	d.t.Cleanup(func() { _ = conn.Close() })
	return secureConn{d, conn, bufio.NewReader(conn), conn.ConnectionState().PeerCertificates[0].Subject.CommonName}
}

func (d secureDoor) eventuallyShows(name string) {
	d.t.Helper()
	d.Eventually("the new certificate", func() error {
		if shows := d.dial().shows; shows != name {
			return fmt.Errorf("shows %q", shows)
		}
		return nil
	})
}

func (c secureConn) asks(target string) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, c.host())
	require.NoError(c.t, err)
	answer, err := http.ReadResponse(c.in, nil)
	require.NoError(c.t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, answer.StatusCode, "%s", body)
}

// Scenario 46: the relay's certificate and a token are read again when they change. Instances that run go on, and dial further tunnels.
func TestTheRelaysCertificateAndATokenAreRenewed(t *testing.T) {
	t.Parallel()
	ca := keypairtest.NewCA(t)
	wish := keypairtest.Wish{Names: []string{"127.0.0.1"}, By: ca}
	certificate, key := keypairtest.Files(t, wish)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, ca.PEM(), 0o600))
	f := newStatic(t, "web")
	f.Scaling.DrainTimeout = time.Second // for those that register below and never dial
	s := newSite(t, controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{f.Function},
		Config: func(c *config.Config) {
			c.Relay.TLS, c.Relay.CertificateFile, c.Relay.KeyFile, c.Relay.CAFile = config.RelayTLSFiles, certificate, key, caFile
		},
	}), "web", controlplanetest.HTTP1)
	peer := f.start(t, s.Stack, controlplanetest.Library)
	before := s.eventuallyInstances(1)[0]
	s.get("/hello")

	shown := s.relaysCertificate()
	keypairtest.Replace(t, certificate, key, wish)
	s.Eventually("the new certificate", func() error {
		if s.relaysCertificate().Cmp(shown) == 0 {
			return fmt.Errorf("the old one")
		}
		return nil
	})
	var sockets []*websocket.Conn
	for range 5 {
		sockets = append(sockets, s.socket()) // takes a tunnel of its own, so that the peer dials another
	}
	require.Equal(t, before.ID, s.Instances("web")[0].ID)

	newToken := "another token of web, long enough"
	require.NoError(t, os.WriteFile(f.Static.TokenFile, []byte(newToken), 0o600))
	door := relayDoor{t: t, stack: s.Stack}
	s.Eventually("the new token", func() error {
		if status, body := door.post("web", newToken, "a"); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	status, _ := door.post("web", f.token, "a")
	require.Equal(t, http.StatusUnauthorized, status)
	require.NoError(t, os.WriteFile(f.Static.TokenFile, []byte("short"), 0o600))
	s.eventuallyNotTaken("token/web", "at least 16 bytes")
	status, _ = door.post("web", newToken, "a")
	require.Equal(t, http.StatusOK, status)
	s.get("/hello")
	for _, socket := range sockets {
		require.NoError(t, socket.Drop())
	}
	require.NoError(t, peer.stop())
}

// relaysCertificate is the serial number of the one that the relay shows.
func (s site) relaysCertificate() *big.Int {
	s.t.Helper()
	roots := x509.NewCertPool()
	text, err := os.ReadFile(s.Config.Relay.CAFile)
	require.NoError(s.t, err)
	require.True(s.t, roots.AppendCertsFromPEM(text))
	conn, err := tls.Dial("tcp", s.Relay, &tls.Config{RootCAs: roots})
	require.NoError(s.t, err)
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber
}
