// Package keypair is a certificate with its chain and its private key, as two PEM files hold them.
package keypair

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Soon is how long before a certificate expires somebody should look: renewals come earlier.
const Soon = 14 * 24 * time.Hour

// leastRSA is what Envoy asks for, in bits.
const leastRSA = 2048

// What Usable wraps.
var (
	ErrExpired     = errors.New("the certificate has expired")
	ErrNotYetValid = errors.New("the certificate is not valid yet")
)

// A Pair is a certificate and its key. Its slices are not to be altered.
type Pair struct {
	Certificate *tls.Certificate // with its leaf
	Chain, Key  []byte           // PEM

	between []*x509.Certificate // the chain above the leaf
}

// Parse reads a PEM chain, leaf first, and the leaf's PEM key. The error says what does not fit, and holds nothing of the key.
func Parse(chain, key []byte) (Pair, error) {
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return Pair{}, err
	}
	pair := Pair{Certificate: &certificate, Chain: chain, Key: key}
	for n, der := range certificate.Certificate[1:] {
		between, err := x509.ParseCertificate(der)
		if err != nil {
			return Pair{}, fmt.Errorf("certificate %d of the chain: %w", n+2, err)
		}
		pair.between = append(pair.between, between)
	}
	return pair, pair.acceptable()
}

// acceptable refuses what Envoy does not take, of which it says so only when it is told to serve it.
func (p Pair) acceptable() error {
	leaf := p.Leaf()
	if leaf.Subject.CommonName == "" && len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs)+len(leaf.EmailAddresses) == 0 {
		return errors.New("the certificate carries no name")
	}
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < leastRSA {
			return fmt.Errorf("the key is RSA with %d bits, and must have at least %d", bits, leastRSA)
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P224() {
			return errors.New("the key is ECDSA with P-224, and must be P-256, P-384 or P-521")
		}
	}
	return nil
}

// Leaf is the certificate itself.
func (p Pair) Leaf() *x509.Certificate { return p.Certificate.Leaf }

// Expires is when the leaf does. Certificates above it may expire earlier without harm: clients build other chains.
func (p Pair) Expires() time.Time { return p.Leaf().NotAfter }

// ChainExpires is when the first certificate above the leaf does; zero: there is none.
func (p Pair) ChainExpires() (first time.Time) {
	for _, c := range p.between {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// Usable tells whether clients take the leaf at now. The error wraps ErrExpired or ErrNotYetValid.
func (p Pair) Usable(now time.Time) error {
	switch leaf := p.Leaf(); {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w, at %s", ErrExpired, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w, until %s", ErrNotYetValid, leaf.NotBefore.UTC().Format(time.RFC3339))
	default:
		return nil
	}
}

// Name is what the leaf vouches for: its first DNS name, or else its first IP address, or nothing.
func (p Pair) Name() string {
	leaf := p.Leaf()
	switch {
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	default:
		return ""
	}
}

// VouchedBy tells whether clients that know the PEM certificates of ca, and no others, take the pair for the name, whenever it is
// valid itself.
func (p Pair) VouchedBy(ca []byte, name string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("holds no PEM certificate")
	}
	for _, c := range p.between {
		between.AddCert(c)
	}
	at := time.Now()
	if p.Usable(at) != nil {
		at = p.Expires()
	}
	_, err := p.Leaf().Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name, CurrentTime: at})
	return err
}
