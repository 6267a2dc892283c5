// Package kept writes down what a relay knows of its instances, for its next process. A relay that ends takes every tunnel with
// it, but not what runs: peers dial again at once. If its leader ends at the same time, what is written here is all that anybody
// knows of them.
//
// The book is a file of lines, one for each change; the latest of an instance counts. A change is written before anybody is told of
// it. The file is not synced: it must outlive the process, not the host.
package kept

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

// Bounds of a book.
const (
	maxLine   = 256 << 10 // bytes; no book has longer ones
	longerBy  = 1 << 20   // bytes by which it may grow before it is begun anew
	muchLater = 24 * time.Hour
)

// A line is one change.
type line struct {
	At   int64           `json:"at,omitempty"`   // microseconds by this host's clock
	Kept json.RawMessage `json:"kept,omitempty"` // tables.Kept
	Gone string          `json:"gone,omitempty"` // an instance of which nothing is kept any more
}

// A Book is a file that is being written. Its owner makes one call at a time.
type Book struct {
	name  string
	file  *os.File
	size  int64
	begun int64 // its size then
}

// Open reads a file, which need not be there, and returns what stands in it. The book is to be written anew with what is kept of
// that: Renew must follow.
func Open(name string, now time.Time) (*Book, []tables.Kept, error) {
	before, err := read(name, now)
	if err != nil {
		return nil, nil, err
	}
	return &Book{name: name}, before, nil
}

// read returns the latest of each instance. Lines that make no sense are passed over: the last one may be half written.
func read(name string, now time.Time) ([]tables.Kept, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	all := map[string]tables.Kept{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		delete(all, l.Gone)
		if k, err := tables.DecodeKept(l.Kept); err == nil {
			k.Ago = min(max(0, now.Sub(time.UnixMicro(l.At))), muchLater)
			all[k.ID] = k
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b tables.Kept) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) }), nil
}

// Worn tells whether the book is to be begun anew: most of it may be out of date, or something is missing.
func (b *Book) Worn() bool { return b.file == nil || b.size > 2*b.begun+longerBy }

// Write adds changes. After an error the book is worn.
func (b *Book) Write(now time.Time, c tables.Changes) error {
	text, err := lines(now, c)
	switch {
	case err == nil && len(text) == 0 || b.file == nil:
		return err
	case err == nil:
		_, err = b.file.Write(text)
	}
	if b.size += int64(len(text)); err != nil {
		err = errors.Join(err, b.Close())
	}
	return err
}

// Renew begins the book anew with all that is kept.
func (b *Book) Renew(now time.Time, all []tables.Kept) error {
	text, err := lines(now, tables.Changes{Kept: all})
	if err == nil {
		err = files.Replace(b.name, text)
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(b.name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	err = b.Close()
	b.file, b.size, b.begun = f, int64(len(text)), int64(len(text))
	return err
}

// Close ends the writing.
func (b *Book) Close() error {
	if b.file == nil {
		return nil
	}
	err := b.file.Close()
	b.file = nil
	return err
}

func lines(now time.Time, c tables.Changes) ([]byte, error) {
	var text bytes.Buffer
	kept := each(&text, c.Kept, func(k tables.Kept) (line, error) {
		one, err := json.Marshal(k)
		return line{At: now.UnixMicro(), Kept: one}, err
	})
	gone := each(&text, c.Gone, func(id string) (line, error) { return line{Gone: id}, nil })
	return text.Bytes(), errors.Join(kept, gone)
}

func each[T any](w io.Writer, all []T, how func(T) (line, error)) error {
	out := json.NewEncoder(w)
	for _, one := range all {
		l, err := how(one)
		if err == nil {
			err = out.Encode(l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
