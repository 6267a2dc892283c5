package relay

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

func TestCertificateFromFiles(t *testing.T) {
	dir := t.TempDir()
	a, err := newAuthority()
	require.NoError(t, err)
	leaf, err := a.sign()
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	require.NoError(t, err)
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	files := func(c *Config) {
		c.TLS = TLSFiles
		c.CertificateFile = write("cert.pem", "CERTIFICATE", leaf.Certificate[0])
		c.KeyFile = write("key.pem", "PRIVATE KEY", key)
		c.CAFile = write("ca.pem", "CERTIFICATE", a.cert.Raw)
	}
	b := newBed(t, files)
	b.up("a")
	require.Equal(t, a.pem(), b.Advertised().CA)

	for name, c := range map[string]Config{
		"certificate": {TLS: TLSFiles, CertificateFile: "/nowhere", KeyFile: "/nowhere"},
		"tls: must":   {TLS: "maybe"},
	} {
		_, err := newIdentity(c)
		require.ErrorContains(t, err, name)
	}
}
