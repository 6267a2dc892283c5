package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
)

// A TLSMode says how connections of peers are encrypted.
type TLSMode string

// TLS modes.
const (
	TLSAuto  TLSMode = "auto"  // a certificate of our own CA, which is made at start and sent to peers
	TLSFiles TLSMode = "files" // the operator's certificate, Config.Identity
	TLSOff   TLSMode = "off"   // plain TCP: for tests, and if the network itself is encrypted
)

// An Identity is the operator's certificate, and the CA that peers check it against. It may be replaced while a relay runs.
type Identity struct {
	Pair keypair.Pair
	CA   string // PEM for peers; empty: their system's roots
}

// identity is how a relay authenticates itself.
type identity struct {
	config *tls.Config // nil: plain TCP
	// vouched returns the CA in PEM for peers, and the name in the certificate.
	vouched func() (ca, name string)
}

func newIdentity(c Config) (identity, error) {
	switch c.TLS {
	case TLSAuto:
		return autoIdentity(c.CAFile)
	case TLSFiles:
		return fileIdentity(c.Identity)
	case TLSOff:
		return identity{vouched: func() (ca, name string) { return "", "" }}, nil
	default:
		return identity{}, fmt.Errorf("tls: must be %s, %s or %s, got %q", TLSAuto, TLSFiles, TLSOff, c.TLS)
	}
}

func autoIdentity(file string) (identity, error) {
	authority, err := keptAuthority(file)
	if err != nil {
		return identity{}, err
	}
	ca := authority.pem()
	return identity{
		config:  serverConfig(authority.certificate),
		vouched: func() (string, string) { return ca, autoName },
	}, nil
}

func fileIdentity(current func() Identity) (identity, error) {
	if current == nil {
		return identity{}, errors.New("tls: files without an identity")
	}
	return identity{
		config: serverConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current().Pair.Certificate, nil }),
		vouched: func() (ca, name string) {
			now := current()
			return now.CA, now.Pair.Name()
		},
	}, nil
}

// serverConfig keeps session tickets on, so that a peer's later connections skip the certificate. The standard library rotates
// their keys. Records are large from the beginning, because the first bytes of a tunnel are not as urgent as those of a web page.
func serverConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		GetCertificate:              get,
		DynamicRecordSizingDisabled: true,
	}
}

// isTimeout tells a deadline from other errors of a connection.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
