// Package keypairtest makes certificates for tests.
package keypairtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A Wish says what a certificate is to be like. The zero value is one that has been valid for an hour and is for another one.
type Wish struct {
	CommonName  string
	Names       []string  // DNS names and IP addresses
	From, Until time.Time // zero: an hour ago, an hour from now
	Key         crypto.Signer
	By          *CA // nil: it vouches for itself
}

// PEM returns a certificate and its key.
func PEM(t testing.TB, w Wish) (chain, key []byte) {
	t.Helper()
	if w.Key == nil {
		w.Key = newKey(t)
	}
	template := template(w)
	parent, signer := template, w.Key
	if w.By != nil {
		parent, signer = w.By.certificate, w.By.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, w.Key.Public(), signer)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(w.Key)
	require.NoError(t, err)
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", private)
}

// Files writes a certificate and its key to files of the test's.
func Files(t testing.TB, w Wish) (certificateFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certificateFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	Replace(t, certificateFile, keyFile, w)
	return certificateFile, keyFile
}

// Replace puts a certificate and its key where others may be, one after the other by renaming, as tools that renew do.
func Replace(t testing.TB, certificateFile, keyFile string, w Wish) {
	t.Helper()
	chain, key := PEM(t, w)
	for file, text := range map[string][]byte{certificateFile: chain, keyFile: key} {
		require.NoError(t, os.WriteFile(file+".new", text, 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
}

// A CA signs certificates.
type CA struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewCA returns one that is valid for as long as a test may take.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{key: newKey(t)}
	template := template(Wish{CommonName: "test CA", Until: time.Now().Add(100 * 24 * time.Hour)})
	template.IsCA, template.BasicConstraintsValid = true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	require.NoError(t, err)
	ca.certificate, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return ca
}

// PEM returns the CA's certificate.
func (ca *CA) PEM() []byte { return encode("CERTIFICATE", ca.certificate.Raw) }

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func template(w Wish) *x509.Certificate {
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: w.CommonName},
		NotBefore: w.From, NotAfter: w.Until,
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = now.Add(time.Hour)
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = now.Add(-time.Hour)
	}
	if c.NotBefore.After(c.NotAfter) {
		c.NotBefore = c.NotAfter.Add(-time.Hour)
	}
	for _, name := range w.Names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	return c
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
