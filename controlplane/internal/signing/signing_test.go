package signing_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

var invocation = wire.Invocation{
	Version: wire.Version, Instance: "i-1", Function: "web", Token: "t", Concurrency: 1, Relays: []wire.Relay{{Address: "a:1"}},
}

func TestWhatASavedKeySignsItsPublicKeyOpens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "signing.key")
	key := signing.New()
	require.NoError(t, key.Save(file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	loaded, err := signing.Load(file)
	require.NoError(t, err)
	require.Equal(t, key.Public(), loaded.Public())
	now := time.Now()
	signed, err := loaded.Sign(invocation, signature.Claims{Audience: "x", Issued: now, Expires: now})
	require.NoError(t, err)
	public, err := signature.ParsePublic(key.Public())
	require.NoError(t, err)
	opened, err := signature.Open(signed, public, []string{"x"}, now)
	require.NoError(t, err)
	require.Equal(t, invocation, opened)
}

func TestAnExistingKeyIsNotOverwritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "signing.key")
	require.NoError(t, signing.New().Save(file))
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	require.ErrorIs(t, signing.New().Save(file), os.ErrExist)
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestWhatIsNoKey(t *testing.T) {
	of := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	for _, tt := range []struct {
		want string
		text []byte
	}{
		{"holds no PEM block of type PRIVATE KEY", []byte("secret")},
		{"holds no PEM block of type PRIVATE KEY", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})},
		{"holds no private key in PKCS #8", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})},
		{"holds a private key that is not of Ed25519", of(other)},
	} {
		_, err := signing.Parse(tt.text)
		require.EqualError(t, err, tt.want)
	}
	_, err = signing.Load("/does/not/exist")
	require.ErrorContains(t, err, "`lambda-dispatch key new /does/not/exist` makes one")
}

func TestTheZeroKeySignsNothing(t *testing.T) {
	require.Empty(t, signing.Key{}.Public())
	inv, err := signing.Key{}.Sign(invocation, signature.Claims{})
	require.NoError(t, err)
	require.Equal(t, invocation, inv)
}
