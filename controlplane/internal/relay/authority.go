package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
)

// autoName is the name in certificates of our own CA. It is not an address: peers dial the address that they were given, and check
// the certificate for this name.
const autoName = "relay.lambda-dispatch"

// How long our own certificates are valid. The CA must outlive the process. The leaf is renewed while it runs. Clocks of peers
// may be wrong by clockSkew.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 30 * 24 * time.Hour
	clockSkew     = 24 * time.Hour
)

// An authority is a CA with the one certificate that it signs. Its key is written only to the file that keeps it, if there is one.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate

	mu   sync.Mutex
	leaf *tls.Certificate
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	template := template("Lambda Dispatch relay CA", authorityLife)
	template.NotBefore = time.Unix(0, 0) // it is kept, also if the clock is set back meanwhile
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return &authority{key: key, cert: cert}, nil
}

// keptAuthority returns the CA that a file keeps. If there is no such file it makes a CA and writes it there. So peers that know
// the CA can check a relay that has restarted.
func keptAuthority(file string) (*authority, error) {
	if file == "" {
		return newAuthority()
	}
	text, err := files.Once(file, func() ([]byte, error) {
		a, err := newAuthority()
		if err != nil {
			return nil, err
		}
		return a.text()
	})
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("ca: %s: %w", file, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA || time.Now().After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("ca: %s: holds no CA that can be used; remove the file, and another one is made", file)
	}
	return &authority{key: key, cert: pair.Leaf}, nil
}

// text is the certificate and its key in PEM.
func (a *authority) text() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	return append([]byte(a.pem()), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}

// pem returns the CA's certificate as peers get it.
func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// certificate implements tls.Config.GetCertificate. It signs a new leaf in the last third of the old one's life.
func (a *authority) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); a.leaf != nil && a.leaf.Leaf.NotAfter.Sub(now) > leafLife/3 && !now.Before(a.leaf.Leaf.NotBefore) {
		return a.leaf, nil // if the clock was set back, it may not be valid yet
	}
	leaf, err := a.sign()
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	a.leaf = leaf
	return leaf, nil
}

func (a *authority) sign() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(autoName, leafLife)
	template.DNSNames = []string{autoName}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func template(name string, life time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(life),
	}
}
