// Package token mints and verifies the bearer tokens that open tunnels and control streams. A token names one instance
// of one function until a moment; whoever holds it can be that instance and nothing else. Tokens are not stored: a key
// that never leaves the control plane makes and checks them.
package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// Limits of keys and claims, in bytes.
const (
	MinKey  = 32
	MaxName = 512
)

// Why Verify refuses. Test with errors.Is.
var (
	ErrMalformed = errors.New("token is malformed")
	ErrSignature = errors.New("token was not made with this key")
	ErrExpired   = errors.New("token has expired")
)

// Claims are what a token proves.
type Claims struct {
	Function string
	Instance string
	Expires  time.Time // whole seconds: Mint rounds up
}

// A Key mints and verifies. It is safe for concurrent use and cheap to copy. Tokens of one key are worth nothing to
// another. The zero value mints and verifies nothing: make one with NewKey or KeyOf.
type Key struct {
	secret []byte
}

// NewKey returns a random key, which lives and dies with the process.
func NewKey() Key { return Key{secret: NewSecret()} }

// NewSecret returns a random secret for KeyOf.
func NewSecret() []byte {
	secret := make([]byte, MinKey)
	_, _ = rand.Read(secret) // never fails: it ends the process instead
	return secret
}

// KeyOf returns the key with a secret of at least MinKey bytes.
func KeyOf(secret []byte) (Key, error) {
	if len(secret) < MinKey {
		return Key{}, fmt.Errorf("token key: %d bytes, at least %d are needed", len(secret), MinKey)
	}
	return Key{secret: bytes.Clone(secret)}, nil
}

// Equal compares two secrets that were configured or presented as they are, in a time that tells nothing about where
// they differ.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return hmac.Equal(x[:], y[:])
}

// encoding is strict, so that exactly one text stands for each token.
var encoding = base64.RawURLEncoding.Strict()

// Mint returns the token for an instance of a function: printable, without spaces, about 80 characters plus 4/3 of the
// names' lengths. Names have 1 to MaxName bytes; for any other, and for the zero Key, the result is "", which opens
// nothing.
func (k Key) Mint(function, instance string, expires time.Time) string {
	c := Claims{Function: function, Instance: instance, Expires: expires}
	if k.secret == nil || !c.valid() {
		return ""
	}
	return encoding.EncodeToString(k.sign(appendClaims(nil, c)))
}

// Verify returns what the token proves at the moment now. The error wraps ErrMalformed, ErrSignature or ErrExpired and
// never holds the token. Nothing of an unsigned token is looked at before its signature was found right.
func (k Key) Verify(token string, now time.Time) (Claims, error) {
	if len(token) > maxText {
		return Claims{}, ErrMalformed
	}
	signed, err := encoding.DecodeString(token)
	if err != nil || len(signed) <= sha256.Size {
		return Claims{}, ErrMalformed
	}
	payload := signed[:len(signed)-sha256.Size]
	if k.secret == nil || !hmac.Equal(k.sign(payload)[len(payload):], signed[len(payload):]) {
		return Claims{}, ErrSignature
	}
	return current(payload, now)
}

func current(payload []byte, now time.Time) (Claims, error) {
	c, err := parseClaims(payload)
	if err != nil {
		return Claims{}, err
	}
	if !now.Before(c.Expires) {
		return Claims{}, fmt.Errorf("%w: %s ago", ErrExpired, now.Sub(c.Expires).Round(time.Second))
	}
	return c, nil
}

// sign returns payload with its signature behind it.
func (k Key) sign(payload []byte) []byte {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write(payload)
	return mac.Sum(payload[:len(payload):len(payload)])
}
