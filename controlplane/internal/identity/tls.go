package identity

import (
	"crypto/tls"
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

// verify checks who the other end is, by the authorities that are trusted now.
func (s Source) verify(roles []Role) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		m := s()
		if len(state.PeerCertificates) == 0 {
			return errors.New("the other end shows no certificate")
		}
		id, err := Of(state.PeerCertificates[0], m.ID.Domain)
		if err != nil {
			return err
		}
		if !slices.Contains(roles, id.Role) {
			return fmt.Errorf("the other end is %s, and must be of role %s", id, list(roles))
		}
		if err := m.verifyParsed(state.PeerCertificates, id.Role, time.Now()); err != nil {
			return fmt.Errorf("the other end says that it is %s: %w", id, err)
		}
		return nil
	}
}

func list(roles []Role) string {
	text := string(roles[0])
	for _, r := range roles[1:] {
		text += " or " + string(r)
	}
	return text
}
