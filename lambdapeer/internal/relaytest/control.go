package relaytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Control is the relay's end of a control stream.
type Control struct {
	conn net.Conn
	dec  *wire.Decoder
	enc  *wire.Encoder
}

// Control waits for the peer's next control stream, before its hello.
func (r *Relay) Control(t testing.TB) *Control {
	t.Helper()
	select {
	case c := <-r.controls:
		return c
	case <-time.After(patience):
		require.FailNow(t, "no control stream")
		return nil
	}
}

// Welcome waits for a control stream, welcomes it and returns it with its hello.
func (r *Relay) Welcome(t testing.TB) (*Control, wire.Message) {
	t.Helper()
	c := r.Control(t)
	hello := c.Next(t)
	require.Equal(t, wire.KindHello, hello.Kind)
	c.Send(t, wire.Message{Kind: wire.KindWelcome})
	return c, hello
}

// Send sends m.
func (c *Control) Send(t testing.TB, m wire.Message) {
	t.Helper()
	require.NoError(t, c.enc.Encode(m))
}

// Next returns the next message, which must come soon.
func (c *Control) Next(t testing.TB) wire.Message {
	t.Helper()
	m, err := c.Receive()
	require.NoError(t, err)
	return m
}

// Receive returns the next message, or how the stream ended.
func (c *Control) Receive() (wire.Message, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	return c.dec.Decode()
}

// Await skips messages until one of the kind.
func (c *Control) Await(t testing.TB, kind wire.Kind) wire.Message {
	t.Helper()
	for {
		if m := c.Next(t); m.Kind == kind {
			return m
		}
	}
}

// Close cuts the stream.
func (c *Control) Close() { c.conn.Close() }

func certificate(t testing.TB) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"relay.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(ca)
}
