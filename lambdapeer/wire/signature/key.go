package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
)

// PublicText is how a public key is written in settings: its 32 bytes in base64, 44 characters.
func PublicText(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// ParsePublic reads public keys as PublicText writes them, with commas or white space between them. The error never repeats
// a text that may be a private key, put there by mistake.
func ParsePublic(list string) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for n, word := range Words(list) {
		raw, err := base64.StdEncoding.DecodeString(word)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("key %d is no Ed25519 public key: %d bytes in base64, 44 characters, as `lambda-dispatch key public` prints it",
				n+1, ed25519.PublicKeySize)
		}
		keys = append(keys, ed25519.PublicKey(raw))
	}
	return keys, nil
}

// Words are the parts of a list that are separated by commas or white space.
func Words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}
