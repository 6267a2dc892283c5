// Package uuid makes the ids of requests, extensions and revisions.
package uuid

import (
	"crypto/rand"
	"fmt"
	"regexp"
)

var form = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Valid tells whether the text has the form of one, of any version.
func Valid(text string) bool { return form.MatchString(text) }

// New returns a random one, version 4.
func New() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
