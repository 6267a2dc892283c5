package identity

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// Limits of a secret file.
const (
	minSecret  = 32 // bytes
	maxSecret  = 1024
	maxSecrets = 8
)

// Secrets are those of a cell, one or more. The first one signs; what any of them has signed is believed, so that it can be
// replaced without a gap.
type Secrets [][]byte

// NewSecret returns a random secret, as a file holds it.
func NewSecret() []byte {
	secret := make([]byte, minSecret)
	_, _ = rand.Read(secret) // never fails: it ends the process instead
	return append(base64.StdEncoding.AppendEncode(nil, secret), '\n')
}

// ParseSecrets reads a secret file: one secret a line, the first to sign with. Empty lines and those that begin with # are passed
// over. The error shows nothing of a secret.
func ParseSecrets(text []byte) (Secrets, error) {
	var all Secrets
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if len(line) < minSecret || len(line) > maxSecret {
			return nil, fmt.Errorf("line %d: a secret has %d to %d bytes, got %d", i+1, minSecret, maxSecret, len(line))
		}
		all = append(all, line)
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("holds no secret: make one with `secret new`")
	case len(all) > maxSecrets:
		return nil, fmt.Errorf("holds %d secrets, at most %d", len(all), maxSecrets)
	}
	return all, nil
}

// What is derived of a secret. The words are part of the derivation: never change them.
const (
	forCA    = "lambda-dispatch ca p256 v1"
	forToken = "lambda-dispatch token v1"
)

// TokenKeys are the keys of instances' tokens, the first to mint with.
func (s Secrets) TokenKeys() ([][]byte, error) {
	var keys [][]byte
	for _, secret := range s {
		key, err := derive(secret, forToken)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// derive returns 32 bytes that tell nothing about the secret, nor about what else is derived of it.
func derive(secret []byte, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, purpose, sha256.Size)
}

// FormatKeys writes token keys as a file holds them, and ParseKeys reads them.
func FormatKeys(keys [][]byte) []byte {
	var text []byte
	for _, key := range keys {
		text = append(base64.StdEncoding.AppendEncode(text, key), '\n')
	}
	return text
}

// ParseKeys reads a file of token keys, one a line in base64. The error shows nothing of a key.
func ParseKeys(text []byte) ([][]byte, error) {
	var keys [][]byte
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		key, err := base64.StdEncoding.Strict().AppendDecode(nil, bytes.TrimSpace(line))
		if err != nil || len(key) != sha256.Size {
			return nil, fmt.Errorf("line %d: must be a key of %d bytes in base64, as `cert pair` writes it", i+1, sha256.Size)
		}
		keys = append(keys, key)
	}
	if len(keys) > maxSecrets {
		return nil, fmt.Errorf("holds %d keys, at most %d", len(keys), maxSecrets)
	}
	return keys, nil
}
