package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

// A certificate is a pair of files. The bench makes one, because peers that register by themselves must know the relay's CA beforehand. Key
// type and protocol are those of the relay's own certificate.
type certificate struct{ Certificate, Key string }

func newCertificate(l *lab.Lab) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	c := &certificate{}
	if c.Certificate, err = writePEM(l, "relay.crt", "CERTIFICATE", cert); err != nil {
		return nil, err
	}
	c.Key, err = writePEM(l, "relay.key", "PRIVATE KEY", private)
	return c, err
}

func writePEM(l *lab.Lab, name, kind string, der []byte) (string, error) {
	return l.Write(name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}
