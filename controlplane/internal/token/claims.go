package token

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// A signed payload is: one byte of format, the expiry in seconds since 1970 (8 bytes), then function and instance, each
// behind its length (2 bytes). All numbers are big endian. Lengths make the boundary between the names part of what is
// signed: "ab"+"c" is another token than "a"+"bc".
const (
	format    = 1
	minClaims = 1 + 8 + 2 + 2
)

// maxText bounds what is decoded at all.
var maxText = encoding.EncodedLen(minClaims + 2*MaxName + sha256.Size)

func (c Claims) valid() bool { return validName(c.Function) && validName(c.Instance) }

func validName(name string) bool { return name != "" && len(name) <= MaxName }

func appendClaims(b []byte, c Claims) []byte {
	b = append(b, format)
	b = binary.BigEndian.AppendUint64(b, uint64(roundUp(c.Expires)))
	b = appendName(b, c.Function)
	return appendName(b, c.Instance)
}

// parseClaims reads what appendClaims wrote and accepts nothing else.
func parseClaims(b []byte) (Claims, error) {
	if len(b) < minClaims || b[0] != format {
		return Claims{}, ErrMalformed
	}
	c := Claims{Expires: time.Unix(int64(binary.BigEndian.Uint64(b[1:])), 0)}
	rest := b[9:]
	for _, name := range []*string{&c.Function, &c.Instance} {
		var ok bool
		if *name, rest, ok = cutName(rest); !ok {
			return Claims{}, ErrMalformed
		}
	}
	if len(rest) != 0 {
		return Claims{}, ErrMalformed
	}
	return c, nil
}

func appendName(b []byte, name string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

func cutName(b []byte) (name string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; n == 0 || n > MaxName || n > len(b) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}

func roundUp(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
