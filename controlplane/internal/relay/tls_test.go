package relay

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func TestLaterConnectionsResume(t *testing.T) {
	b := newBed(t)
	b.expect("a")
	cache := tls.NewLRUClientSessionCache(4)
	for i := range 2 {
		c, err := b.tryDial(cache)
		require.NoError(t, err)
		state := c.(*tls.Conn).ConnectionState()
		require.Equal(t, uint16(tls.VersionTLS13), state.Version)
		require.Equal(t, i > 0, state.DidResume)
		b.ask(c, "GET / HTTP/1.1\r\nHost: relay\r\n\r\n")
		require.NoError(t, c.Close())
	}
}

func TestTheCertificateIsOursAlone(t *testing.T) {
	b, other := newBed(t), newBed(t)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(other.Advertised().CA)))
	_, err := tls.Dial("tcp", b.Advertised().Address, &tls.Config{RootCAs: roots, ServerName: autoName})
	require.Error(t, err)
	_, err = tls.Dial("tcp", b.Advertised().Address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	require.ErrorContains(t, err, "version")
}

// Peers check a relay that has restarted against the CA that they were given before.
func TestTheAuthorityOutlivesTheRelayWhereAFileKeepsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	first, err := keptAuthority(file)
	require.NoError(t, err)
	again, err := keptAuthority(file)
	require.NoError(t, err)
	require.Equal(t, first.pem(), again.pem())
	leaf, err := again.certificate(nil)
	require.NoError(t, err)
	require.NoError(t, leaf.Leaf.CheckSignatureFrom(first.cert))
	require.NoError(t, os.WriteFile(file, []byte("nonsense"), 0o600))
	_, err = keptAuthority(file)
	require.ErrorContains(t, err, file)
}

func TestTheLeafIsRenewedInTime(t *testing.T) {
	a, err := newAuthority()
	require.NoError(t, err)
	first, err := a.certificate(nil)
	require.NoError(t, err)
	again, err := a.certificate(nil)
	require.NoError(t, err)
	require.Same(t, first, again)
	a.leaf.Leaf.NotAfter = time.Now().Add(leafLife / 4)
	renewed, err := a.certificate(nil)
	require.NoError(t, err)
	require.NotSame(t, first, renewed)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err = renewed.Leaf.Verify(x509.VerifyOptions{DNSName: autoName, Roots: roots})
	require.NoError(t, err)
}

// A certificate that was made while the clock of the relay's host was ahead is not valid yet when the clock is right.
func TestTheLeafIsMadeAnewWhenTheClockIsSetBack(t *testing.T) {
	a, err := newAuthority()
	require.NoError(t, err)
	require.True(t, a.cert.NotBefore.Before(time.Now().AddDate(-1, 0, 0)), "the CA is kept, and the clock may be set back by more than a day")
	first, err := a.certificate(nil)
	require.NoError(t, err)
	first.Leaf.NotBefore, first.Leaf.NotAfter = time.Now().Add(clockSkew), time.Now().Add(leafLife+2*clockSkew)
	again, err := a.certificate(nil)
	require.NoError(t, err)
	require.NotSame(t, first, again)
}

// operators returns an identity of a CA's, with a new certificate.
func operators(t *testing.T, ca *authority) Identity {
	t.Helper()
	leaf, err := ca.sign()
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	require.NoError(t, err)
	pair, err := keypair.Parse(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	require.NoError(t, err)
	return Identity{Pair: pair, CA: ca.pem()}
}

// A renewed certificate is for those who come later. Connections that stand do not notice.
func TestARenewedCertificate(t *testing.T) {
	ca, err := newAuthority()
	require.NoError(t, err)
	var current atomic.Pointer[Identity]
	renew := func(ca *authority) *big.Int {
		next := operators(t, ca)
		current.Store(&next)
		return next.Pair.Leaf().SerialNumber
	}
	shown := func(b *bed) *big.Int {
		c, err := b.tryDial(nil)
		require.NoError(t, err)
		defer c.Close()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber
	}
	first := renew(ca)
	b := newBed(t, func(c *Config) {
		c.TLS, c.Identity = TLSFiles, func() Identity { return *current.Load() }
	})
	control, peer := b.up("a")
	envoy := b.envoy("a")
	require.Equal(t, ca.pem(), b.Advertised().CA)
	require.Equal(t, first, shown(b))

	second := renew(ca)
	require.NotEqual(t, first, second)
	require.Equal(t, second, shown(b))
	exchangeBoth(t, envoy, peer, "as before")
	require.NoError(t, control.Encode(wire.Message{Kind: wire.KindLoad, InFlight: 1}))
	b.eventually(func() bool { return b.events.has("load a 1") }, "no load")

	other, err := newAuthority()
	require.NoError(t, err)
	third := renew(other)
	require.Equal(t, other.pem(), b.Advertised().CA, "instances that start now are told")
	require.Equal(t, third, shown(b))
}

func TestIdentitiesThatAreNone(t *testing.T) {
	for says, c := range map[string]Config{"without an identity": {TLS: TLSFiles}, "tls: must": {TLS: "maybe"}} {
		_, err := newIdentity(c)
		require.ErrorContains(t, err, says)
	}
}
