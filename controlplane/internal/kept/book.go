// Package kept writes down what a relay knows of its instances, for its next process. A relay that ends takes every tunnel with
// it, but not what runs: peers dial again at once. If its leader ends at the same time, what is written here is all that anybody
// knows of them.
//
// The book is a file of lines, one for each change; the latest of an instance counts. A change is written before anybody is told of
// it. The file is not synced: it must outlive the process, not the host.
package kept

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

const (
	longerBy  = 1 << 20     // bytes by which a book may grow before it is begun anew
	pause     = time.Second // after an attempt at that which failed: all that is kept is written each time
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
	file  *os.File // nil: it must be begun anew
	size  int64
	begun int64     // its size then
	err   error     // why there is no file
	again time.Time // not begun anew before then
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

// read returns the latest of each instance. Lines that make no sense are passed over: the last one may be half written, and what a
// host had not yet written when it failed may be zeros.
func read(name string, now time.Time) ([]tables.Kept, error) {
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := map[string]tables.Kept{}
	for one := range bytes.Lines(text) {
		var l line
		if json.Unmarshal(one, &l) != nil {
			continue
		}
		delete(all, l.Gone)
		if k, err := tables.DecodeKept(l.Kept); err == nil {
			k.Ago = min(max(0, now.Sub(time.UnixMicro(l.At))), muchLater)
			all[k.ID] = k
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b tables.Kept) int { return strings.Compare(a.ID, b.ID) }), nil
}

// Worn tells whether the book is to be begun anew now: most of it may be out of date, or something is missing.
func (b *Book) Worn(now time.Time) bool {
	if b.file == nil {
		return !now.Before(b.again)
	}
	return b.size > 2*b.begun+longerBy
}

// Write adds changes. An error stays until the book has been begun anew: something is missing.
func (b *Book) Write(now time.Time, c tables.Changes) error {
	if b.file == nil {
		return b.err
	}
	text, err := lines(now, c)
	if err == nil {
		_, err = b.file.Write(text)
	}
	if b.size += int64(len(text)); err != nil {
		b.err = errors.Join(err, b.Close())
	}
	return err
}

// Renew begins the book anew with all that is kept.
func (b *Book) Renew(now time.Time, all []tables.Kept) error {
	text, err := lines(now, tables.Changes{Kept: all})
	var f *os.File
	if err == nil {
		f, err = replace(b.name, text)
	}
	if err != nil {
		b.err, b.again = errors.Join(err, b.Close()), now.Add(pause)
		return b.err
	}
	err = b.Close()
	b.file, b.size, b.begun = f, int64(len(text)), int64(len(text))
	return err
}

// replace writes a file that takes the place of the one of that name, and leaves it open. It does not sync it: nobody is served
// meanwhile.
func replace(name string, text []byte) (*os.File, error) {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(text); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
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
