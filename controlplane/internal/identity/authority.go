package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
)

// slack is how much the clocks of two hosts may differ.
const slack = time.Hour

// An Authority signs certificates. The same secret makes the same one on every host.
type Authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// NewAuthority derives the authority of a secret.
func NewAuthority(secret []byte) (Authority, error) {
	key, err := authorityKey(secret)
	if err != nil {
		return Authority{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Authority{}, err
	}
	sum := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "lambda-dispatch cell " + hex.EncodeToString(sum[:4])}, // another secret's has another name
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	// Without a source of randomness the signature is that of RFC 6979, the same every time.
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return Authority{}, fmt.Errorf("the cell's CA: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	return Authority{key: key, certificate: certificate}, err
}

// authorityKey is the first of those derived that is a scalar of the curve: nearly always the first one.
func authorityKey(secret []byte) (*ecdsa.PrivateKey, error) {
	for i := 0; ; i++ {
		raw, err := derive(secret, fmt.Sprint(forCA, " ", i))
		if err != nil {
			return nil, err
		}
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw); err == nil {
			return key, nil
		}
	}
}

// PEM is the authority's certificate.
func (a Authority) PEM() []byte { return pemOf("CERTIFICATE", a.certificate.Raw) }

// Issue makes a certificate with a new key, P-256 because Envoy takes no Ed25519 from those whom it dials.
func (a Authority) Issue(id ID, now time.Time, life time.Duration) (keypair.Pair, error) {
	if err := id.Validate(); err != nil {
		return keypair.Pair{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keypair.Pair{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return keypair.Pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: string(id.Role) + "/" + id.Name},
		NotBefore:    now.Add(-slack),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage(id.Role)},
		URIs:         []*url.URL{id.uri()},
	}, a.certificate, key.Public(), a.key)
	if err != nil {
		return keypair.Pair{}, fmt.Errorf("certificate of %s: %w", id, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keypair.Pair{}, err
	}
	return keypair.Parse(pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", private))
}

// usage is what a role does on a connection: control planes are dialled by the others.
func usage(role Role) x509.ExtKeyUsage {
	if role == Control {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
