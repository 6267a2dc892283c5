package relay

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
)

// A TLSMode says how connections of peers are encrypted.
type TLSMode string

// TLS modes.
const (
	TLSAuto  TLSMode = "auto"  // a certificate of our own CA, which is made at start and handed to peers
	TLSFiles TLSMode = "files" // a certificate from files
	TLSOff   TLSMode = "off"   // plain TCP: for tests, and where the network itself is encrypted
)

// identity is what a relay shows and what peers check it against.
type identity struct {
	config *tls.Config // nil: plain TCP
	ca     string      // PEM for peers; empty: their system's roots
	name   string      // that the certificate carries
}

func newIdentity(c Config) (identity, error) {
	switch c.TLS {
	case TLSAuto:
		return autoIdentity()
	case TLSFiles:
		return fileIdentity(c.CertificateFile, c.KeyFile, c.CAFile)
	case TLSOff:
		return identity{}, nil
	default:
		return identity{}, fmt.Errorf("tls: must be %s, %s or %s, got %q", TLSAuto, TLSFiles, TLSOff, c.TLS)
	}
}

func autoIdentity() (identity, error) {
	authority, err := newAuthority()
	if err != nil {
		return identity{}, err
	}
	return identity{config: serverConfig(authority.certificate), ca: authority.pem(), name: autoName}, nil
}

func fileIdentity(certificateFile, keyFile, caFile string) (identity, error) {
	pair, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return identity{}, fmt.Errorf("certificate: %w", err)
	}
	id := identity{name: nameOf(pair.Leaf)}
	if id.name == "" {
		return identity{}, fmt.Errorf("certificate %s: carries no DNS name and no IP address to check it against", certificateFile)
	}
	if caFile != "" {
		if id.ca, err = readCA(caFile); err != nil {
			return identity{}, err
		}
	}
	id.config = serverConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil })
	return id, nil
}

func nameOf(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	if len(c.IPAddresses) > 0 {
		return c.IPAddresses[0].String()
	}
	return ""
}

func readCA(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("ca: %w", err)
	}
	if block, _ := pem.Decode(text); block == nil || block.Type != "CERTIFICATE" {
		return "", fmt.Errorf("ca: %s holds no PEM certificate", file)
	}
	return string(text), nil
}

// serverConfig keeps session tickets on, which the standard library rotates: a peer's second and later connections skip
// the certificate. Records are large from the first on, since a tunnel's latency is not a web page's.
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
