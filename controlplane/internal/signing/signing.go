// Package signing holds the private key that signs invocations, so that functions can tell the control plane's from those
// of anybody else who may invoke them. The key is a file of the operator's, because functions must know its public half
// before they start: one that is made with the process would be known to nobody.
package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/source"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// A Key signs invocations. The zero value leaves them unsigned.
type Key struct {
	private ed25519.PrivateKey
}

// New returns a random key.
func New() Key {
	_, private, _ := ed25519.GenerateKey(rand.Reader) // never fails: it ends the process instead
	return Key{private}
}

// Parse reads a key as PEM returns it, or openssl genpkey -algorithm ed25519. The error never holds any of the text.
func Parse(text []byte) (Key, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return Key{}, errors.New("holds no PEM block of type PRIVATE KEY")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Key{}, errors.New("holds no private key in PKCS #8")
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return Key{}, errors.New("holds a private key that is not of Ed25519")
	}
	return Key{private}, nil
}

// Load reads a key from a file. The error names the file.
func Load(file string) (Key, error) {
	text, err := source.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Key{}, fmt.Errorf("%w; `lambda-dispatch key new %s` makes one", err, file)
	}
	if err != nil {
		return Key{}, err
	}
	key, err := Parse(text)
	if err != nil {
		return Key{}, fmt.Errorf("%s %w", file, err)
	}
	return key, nil
}

// Save writes the key to a file that only its owner can read. A file that exists is an error: whoever knows its public
// half would be cut off.
func (k Key) Save(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(k.PEM())
	return errors.Join(err, out.Close())
}

// PEM returns the private key as Parse reads it.
func (k Key) PEM() []byte {
	der, _ := x509.MarshalPKCS8PrivateKey(k.private) // fails for other kinds of keys only
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Public is the public key as functions are told it. It is empty for the zero Key.
func (k Key) Public() string {
	if k.private == nil {
		return ""
	}
	return signature.PublicText(k.private.Public().(ed25519.PublicKey))
}

// Sign returns the invocation signed with those claims; the zero Key leaves it as it is.
func (k Key) Sign(inv wire.Invocation, c signature.Claims) (wire.Invocation, error) {
	if k.private == nil {
		return inv, nil
	}
	return signature.Sign(inv, c, k.private)
}
