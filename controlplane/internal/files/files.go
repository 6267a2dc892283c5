// Package files reads what lies in files of somebody else's, certificates and tokens say, and reads it again when it
// changes. It looks at contents twice a second: notifications of a file system miss what is behind a symbolic link or a
// network, and both certificate managers and Kubernetes replace files by links and renames. What does not fit is not taken:
// the value that was there before stays, and Refused says why.
package files

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/source"
)

// A Value is what one or more files hold together. Get and Refused may be called by any goroutine.
type Value[T any] struct {
	// Static after Read.
	names []string
	parse func(contents [][]byte) (T, error)
	fit   func(next T) error

	// Owned by the goroutine that looks.
	seen Digest // at the last look

	mu      sync.Mutex // guards the fields below
	value   T
	taken   Digest // that value was made of
	refused error
}

// A Digest tells contents apart. The zero Digest is of none.
type Digest [sha256.Size]byte

// Read reads the files. parse gets their contents in the order of the names. fit has to agree before what was read later
// replaces the value; nil agrees with all.
func Read[T any](parse func(contents [][]byte) (T, error), fit func(next T) error, names ...string) (*Value[T], error) {
	contents, sum, err := read(names)
	if err != nil {
		return nil, err
	}
	value, err := parse(contents)
	if err != nil {
		return nil, err
	}
	return &Value[T]{names: names, parse: parse, fit: fit, seen: sum, value: value, taken: sum}, nil
}

// Names are those of the files.
func (v *Value[T]) Names() []string { return slices.Clone(v.names) }

// Get returns the value that was taken last.
func (v *Value[T]) Get() T {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.value
}

// Refused says why what the files hold now was not taken; nil if it was.
func (v *Value[T]) Refused() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refused
}

// look reads the files and takes what they hold if it is new, and tells whether it did. What was not there at the look
// before may be half written, or one of two files that are replaced one after the other: it has to be there again.
func (v *Value[T]) look() bool {
	contents, sum, err := read(v.names)
	settled := sum == v.seen
	v.seen = sum
	switch {
	case err == nil && sum == v.taken:
		v.note(nil)
		return false
	case !settled:
		return false
	case err != nil:
		v.note(err)
		return false
	}
	next, err := v.parse(contents)
	if err == nil && v.fit != nil {
		err = v.fit(next)
	}
	if err != nil {
		v.note(err)
		return false
	}
	v.take(next, sum)
	return true
}

func (v *Value[T]) note(refused error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = refused
}

func (v *Value[T]) take(next T, sum Digest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.value, v.taken, v.refused = next, sum, nil
}

// read returns the files' contents and a digest of them, or else of the error.
func read(names []string) ([][]byte, Digest, error) {
	hash := sha256.New()
	var contents [][]byte
	for _, name := range names {
		text, err := readFile(name)
		if err != nil {
			return nil, sha256.Sum256([]byte(err.Error())), err
		}
		contents = append(contents, text)
		_ = binary.Write(hash, binary.BigEndian, int64(len(text))) // to a hash, which takes all
		hash.Write(text)
	}
	return contents, Digest(hash.Sum(nil)), nil
}

func readFile(name string) ([]byte, error) {
	if _, ok := source.Variable(name); ok {
		return source.Read(name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a file", name) // to read from a pipe might never end
	}
	return source.Read(name)
}
