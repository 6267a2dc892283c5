package identity

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
)

// Material is the certificate that a part shows to others, and the CA by which it checks theirs. Its values must not be changed.
type Material struct {
	ID    ID
	Pair  keypair.Pair
	roots *x509.CertPool
}

// NewMaterial checks that the CA, PEM, vouches for a certificate, and that this names a part of the domain in that role.
func NewMaterial(domain string, role Role, pair keypair.Pair, ca []byte) (Material, error) {
	m := Material{Pair: pair, roots: x509.NewCertPool()}
	if !m.roots.AppendCertsFromPEM(ca) {
		return Material{}, errors.New("the CA's file holds no PEM certificate")
	}
	var err error
	if m.ID, err = Of(pair.Leaf(), domain); err != nil {
		return Material{}, err
	}
	if m.ID.Role != role {
		return Material{}, fmt.Errorf("the certificate is one of role %s, and must be of role %s", m.ID.Role, role)
	}
	at := time.Now()
	if pair.Usable(at) != nil {
		at = pair.Expires()
	}
	if err := m.verify(pair.Certificate.Certificate, role, at); err != nil {
		return Material{}, err
	}
	return m, nil
}

// verify checks a chain, leaf first, against the CA.
func (m Material) verify(chain [][]byte, role Role, now time.Time) error {
	var certificates []*x509.Certificate
	for _, der := range chain {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		certificates = append(certificates, one)
	}
	return m.verifyParsed(certificates, role, now)
}

func (m Material) verifyParsed(chain []*x509.Certificate, role Role, now time.Time) error {
	between := x509.NewCertPool()
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: m.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage(role)},
	})
	return err
}

// Life is how long a certificate lasts that a part makes for itself. It makes the next one when half of that is over, so that none
// ever comes near its end.
const Life = 60 * 24 * time.Hour

// A Self is a part that makes its own certificates of the cell's secrets.
type Self struct {
	id ID

	mu          sync.Mutex // guards the fields below
	authorities []Authority
	now         Material
	renew       time.Time
}

// NewSelf returns the part with that ID.
func NewSelf(id ID, secrets Secrets) (*Self, error) {
	s := &Self{id: id}
	return s, s.Use(secrets)
}

// Use makes other secrets count, for connections that begin from now on. After an error those of before do.
func (s *Self) Use(secrets Secrets) error {
	authorities, err := Authorities(secrets)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issueLocked(authorities, time.Now())
}

// Authorities are those of secrets, in their order.
func Authorities(secrets Secrets) ([]Authority, error) {
	var all []Authority
	for _, secret := range secrets {
		one, err := NewAuthority(secret)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// CA is the certificates of authorities, PEM.
func CA(authorities []Authority) []byte {
	var all [][]byte
	for _, a := range authorities {
		all = append(all, a.PEM())
	}
	return bytes.Join(all, nil)
}

func (s *Self) issueLocked(authorities []Authority, now time.Time) error {
	pair, err := authorities[0].Issue(s.id, now, Life)
	if err != nil {
		return err
	}
	m, err := NewMaterial(s.id.Domain, s.id.Role, pair, CA(authorities))
	if err != nil {
		return err
	}
	s.authorities, s.now, s.renew = slices.Clone(authorities), m, now.Add(Life/2)
	return nil
}

// Get returns what to show now.
func (s *Self) Get() Material {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.renew) || s.now.Pair.Usable(now) != nil { // the second if the clock was set
		_ = s.issueLocked(s.authorities, now) // it worked before; if not, the old one lasts as long again
	}
	return s.now
}
