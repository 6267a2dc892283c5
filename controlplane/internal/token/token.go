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
	"sync/atomic"
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

// A Key mints and verifies. It is safe for concurrent use and cheap to copy: copies change together. Tokens of one key are worth
// nothing to another. The zero value mints and verifies nothing: make one with NewKey or KeyOf.
type Key struct {
	secrets *atomic.Pointer[[][]byte]
}

// NewKey returns a random key, which lives and dies with the process.
func NewKey() Key { return key(NewSecret()) }

func key(secrets ...[]byte) Key {
	k := Key{new(atomic.Pointer[[][]byte])}
	k.secrets.Store(&secrets)
	return k
}

// NewSecret returns a random secret for KeyOf.
func NewSecret() []byte {
	secret := make([]byte, MinKey)
	_, _ = rand.Read(secret) // never fails: it ends the process instead
	return secret
}

// KeyOf returns the key with secrets of at least MinKey bytes. It mints with the first, and verifies with all of them.
func KeyOf(secrets ...[]byte) (Key, error) {
	k := key()
	return k, k.Change(secrets...)
}

// Change gives the key, which must not be the zero Key, other secrets. What was minted with one that is no more is refused from now
// on.
func (k Key) Change(secrets ...[]byte) error {
	if len(secrets) == 0 {
		return errors.New("token key: none given")
	}
	var own [][]byte
	for _, secret := range secrets {
		if len(secret) < MinKey {
			return fmt.Errorf("token key: %d bytes, at least %d are needed", len(secret), MinKey)
		}
		own = append(own, bytes.Clone(secret))
	}
	k.secrets.Store(&own)
	return nil
}

// all are the secrets; the zero Key has none.
func (k Key) all() [][]byte {
	if k.secrets == nil {
		return nil
	}
	return *k.secrets.Load()
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
	secrets := k.all()
	if len(secrets) == 0 || !c.valid() {
		return ""
	}
	return encoding.EncodeToString(sign(secrets[0], appendClaims(nil, c)))
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
	for _, secret := range k.all() {
		if hmac.Equal(sign(secret, payload)[len(payload):], signed[len(payload):]) {
			return current(payload, now)
		}
	}
	return Claims{}, ErrSignature
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
func sign(secret, payload []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(payload)
	return mac.Sum(payload[:len(payload):len(payload)])
}
