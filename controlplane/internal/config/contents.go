package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/source"
)

// This file checks what the files hold that the configuration names, at the start and whenever they change.

// minToken is the shortest token of a static provider, in bytes.
const minToken = 16

// maxCA is in bytes. An invocation holds the CA twice, once signed, and the protocol allows 64 KiB for all.
const maxCA = 28 << 10

// ParsePair reads a listener's certificate_file and key_file.
func ParsePair(contents [][]byte) (keypair.Pair, error) {
	pair, err := keypair.Parse(contents[0], contents[1])
	if err != nil {
		return pair, fmt.Errorf("with key_file: %w", err)
	}
	return pair, nil
}

// ParseRelayPair reads the contents of the relay's certificate_file, key_file and ca_file, which is optional. With a CA it checks that
// peers will accept the certificate.
func ParseRelayPair(contents [][]byte) (keypair.Pair, error) {
	pair, err := ParsePair(contents)
	if err != nil {
		return pair, err
	}
	if pair.Name() == "" {
		return pair, errors.New("carries no DNS name and no IP address to check it against")
	}
	if len(contents) == 2 {
		return pair, nil
	}
	ca, err := parseCA(contents[2:])
	if err != nil {
		return pair, fmt.Errorf("with ca_file: %w", err)
	}
	if err := pair.VouchedBy(ca, pair.Name()); err != nil {
		return pair, fmt.Errorf("with ca_file: %w", err)
	}
	return pair, nil
}

func parseCA(contents [][]byte) ([]byte, error) {
	text := contents[0]
	if len(text) > maxCA {
		return nil, fmt.Errorf("must have at most %d bytes, got %d: every invocation carries it, so give the one CA that signed, not a bundle",
			maxCA, len(text))
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return nil, errors.New("holds no PEM certificate")
	}
	return text, nil
}

// ParseToken reads a function's token_file. The error never shows what it holds.
func ParseToken(contents [][]byte) (string, error) {
	token := bytes.TrimSpace(contents[0])
	if len(token) < minToken {
		return "", fmt.Errorf("must hold a token of at least %d bytes, got %d", minToken, len(token))
	}
	return string(token), nil
}

// ParseAdminToken reads admin.token_file, which holds what fits in a header.
func ParseAdminToken(contents [][]byte) (string, error) {
	token, err := ParseToken(contents)
	if err == nil && strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("must hold one token of visible ASCII characters, without a blank in it")
	}
	return token, err
}

// A Certificate is one that the configuration names.
type Certificate struct {
	Path string // in the configuration: listeners[0].tls
	Pair keypair.Pair
}

// Certificates reads the certificates of listeners, relay and cell.
func (c Config) Certificates() ([]Certificate, error) {
	var all []Certificate
	var errs []error
	add := func(path, certificate, key string) {
		chain, errChain := source.Read(certificate)
		private, errKey := source.Read(key)
		pair, err := keypair.Parse(chain, private)
		if err = errors.Join(errChain, errKey, err); err != nil {
			errs = append(errs, &mistake{path, err})
			return
		}
		all = append(all, Certificate{path, pair})
	}
	for i, l := range c.Listeners {
		if l.TLS != nil {
			add(fmt.Sprintf("listeners[%d].tls", i), l.TLS.CertificateFile, l.TLS.KeyFile)
		}
	}
	if c.Relay.TLS == RelayTLSFiles {
		add("relay", c.Relay.CertificateFile, c.Relay.KeyFile)
	}
	if c.Cell.CertificateFile != "" {
		add("cell", c.Cell.CertificateFile, c.Cell.KeyFile)
	}
	return all, errors.Join(errs...)
}

// CheckValidity returns an error that names the certificates that clients refuse at that time. Warnings name those that clients will refuse in
// less than keypair.Soon, chains of which a part expires as soon or has expired, and files with secrets that other users may read.
func (c Config) CheckValidity(now time.Time) (warnings []string, err error) {
	all, err := c.Certificates()
	errs := []error{err}
	for _, one := range all {
		switch unusable, left := one.Pair.Usable(now), one.Pair.Expires().Sub(now); {
		case unusable != nil:
			errs = append(errs, &mistake{one.Path + ".certificate_file", unusable})
		case left < keypair.Soon:
			warnings = append(warnings, fmt.Sprintf("%s.certificate_file: the certificate expires in %s, at %s",
				one.Path, roughly(left), one.Pair.Expires().UTC().Format(time.RFC3339)))
		}
		if until := one.Pair.ChainExpires(); !until.IsZero() && until.Sub(now) < keypair.Soon {
			warnings = append(warnings, fmt.Sprintf("%s.certificate_file: a certificate of the chain expires at %s: from then on clients that "+
				"know no other chain refuse it", one.Path, until.UTC().Format(time.RFC3339)))
		}
	}
	return append(warnings, c.Cell.exposed()...), errors.Join(errs...)
}

// roughly writes a time for people: 13 days, or 5 hours.
func roughly(d time.Duration) string {
	if days := int(d.Hours() / 24); days > 1 {
		return fmt.Sprintf("%d days", days)
	}
	return fmt.Sprintf("%d hours", int(d.Hours()))
}
