package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Source returns what to show now. Any goroutine may call it.
type Source func() Material

// Server is the configuration of a process that only parts of these roles may dial.
func (s Source) Server(by ...Role) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert, // VerifyConnection asks more
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s().Pair.Certificate, nil },
		VerifyConnection:       s.verify(by),
		SessionTicketsDisabled: true,
	}
}

// Client is the configuration of a process that dials a part of that role.
func (s Source) Client(to Role) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s().Pair.Certificate, nil
		},
		InsecureSkipVerify: true, // of names: addresses are not what certificates are about. VerifyConnection does the rest
		VerifyConnection:   s.verify([]Role{to}),
	}
}

// A CertificateError is why the certificate that the other end shows is not accepted.
type CertificateError struct{ Err error }

func (e *CertificateError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *CertificateError) Unwrap() error { return e.Err }

// verify checks who the other end is, by the authorities that are trusted now.
func (s Source) verify(roles []Role) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the other end shows no certificate")
		}
		if err := s().accept(state.PeerCertificates, roles); err != nil {
			return &CertificateError{err}
		}
		return nil
	}
}

// accept checks that the chain is of one of these roles.
func (m Material) accept(chain []*x509.Certificate, roles []Role) error {
	id, err := Of(chain[0], m.ID.Domain)
	if err != nil {
		return err
	}
	if !slices.Contains(roles, id.Role) {
		return fmt.Errorf("the other end is %s, and must be of role %s", id, list(roles))
	}
	if err := m.verifyParsed(chain, id.Role, time.Now()); err != nil {
		return fmt.Errorf("the other end says that it is %s: %w", id, err)
	}
	return nil
}

func list(roles []Role) string {
	text := string(roles[0])
	for _, r := range roles[1:] {
		text += " or " + string(r)
	}
	return text
}
