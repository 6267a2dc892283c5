// Package code keeps the code of functions apart from the folders in which people work, as copies of folders and as unpacked
// archives. Nothing changes them any more.
package code

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// MaxSize is how large unpacked code may be, in bytes: Lambda's limit.
const MaxSize = 250 << 20

// MaxTotal is how much a store keeps, in bytes.
const MaxTotal = 4 << 30

// ErrTooLarge says that code exceeds MaxSize.
var ErrTooLarge = errors.New("the code exceeds 250 MB")

// ErrFull says that a store holds MaxTotal.
var ErrFull = errors.New("the code of all versions exceeds 4 GB")

// A Store holds code in a temporary folder. The zero value is ready, and makes the folder when it is needed. Its methods may
// be called from any goroutine.
type Store struct {
	mu     sync.Mutex // guards the fields below
	root   string
	size   int64             // of what is kept, what copies share once
	newest map[string]string // the newest copy of each folder
}

// A Code is a folder with code, and a hash of what is in it, as Lambda writes hashes.
type Code struct {
	Dir    string
	Sha256 string
}

// Copy returns a copy of a folder, or of the folder to which a link leads. The same content has the same copy. Symbolic links are
// kept as they are; version control, sockets and the like are left out. A file whose size, time and mode are those in the copy
// before is shared with that copy.
func (s *Store) Copy(dir string) (Code, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Code{}, err
	}
	if err := measure(dir); err != nil {
		return Code{}, err
	}
	c := copier{from: dir, before: s.before(dir)}
	kept, err := s.keep(func(into string, left *int64) error { return c.copy(into, left) }, &c.shared)
	if err == nil {
		s.remember(dir, kept.Dir)
	}
	return kept, err
}

func (s *Store) before(dir string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest[dir]
}

func (s *Store) remember(dir, kept string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest == nil {
		s.newest = map[string]string{}
	}
	s.newest[dir] = kept
}

// keep makes a folder by fill, which may write *left bytes at most, and keeps it under its hash. shared is how many bytes of it
// are in another folder already; nil: none.
func (s *Store) keep(fill func(into string, left *int64) error, shared *int64) (Code, error) {
	root, err := s.open()
	if err != nil {
		return Code{}, err
	}
	fresh, err := os.MkdirTemp(root, "new-")
	if err != nil {
		return Code{}, err
	}
	defer os.RemoveAll(fresh)
	left := int64(MaxSize)
	if err := fill(fresh, &left); err != nil {
		return Code{}, err
	}
	sum, err := hashTree(fresh)
	if err != nil {
		return Code{}, err
	}
	kept := filepath.Join(root, base64.RawURLEncoding.EncodeToString(sum))
	own := MaxSize - left
	if shared != nil {
		own -= *shared
	}
	if err := s.move(fresh, kept, own); err != nil {
		return Code{}, err
	}
	return Code{Dir: kept, Sha256: base64.StdEncoding.EncodeToString(sum)}, nil
}

// move gives a new folder of that size its final name, unless it is there already.
func (s *Store) move(fresh, kept string, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(kept); err == nil {
		return nil
	}
	if s.size+size > MaxTotal {
		return ErrFull
	}
	s.size += size
	return errors.Join(os.Chmod(fresh, 0o755), os.Rename(fresh, kept))
}

func (s *Store) open() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.root == "" {
		s.root, err = os.MkdirTemp("", "lambdalocal-code-")
	}
	return s.root, err
}

// Close removes everything. Nothing may run from the store's folders any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == "" {
		return nil
	}
	return os.RemoveAll(s.root)
}

// asNew opens a file that must not be there yet.
const asNew = os.O_CREATE | os.O_EXCL | os.O_WRONLY

// write fills a file that has just been opened, and closes it. It subtracts what it writes from *left.
func write(source io.Reader, to *os.File, left *int64) error {
	n, err := io.Copy(to, io.LimitReader(source, *left+1))
	if *left -= n; *left < 0 {
		err = ErrTooLarge
	}
	return errors.Join(err, to.Close())
}

// hashTree hashes names, modes and contents, in the order of names.
func hashTree(dir string) ([]byte, error) {
	hash := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%q %v %d\n", relative, info.Mode(), size(info))
		return hashContent(hash, path, d)
	})
	return hash.Sum(nil), err
}

// size is that of files only: folders have another on each file system.
func size(info fs.FileInfo) int64 {
	if info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

func hashContent(hash io.Writer, path string, d fs.DirEntry) error {
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		fmt.Fprintf(hash, "%q\n", target)
		return err
	case d.Type().IsRegular():
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(hash, file)
		return err
	}
	return nil
}
