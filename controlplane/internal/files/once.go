package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Once returns what a file holds. If there is none it is made, for its owner's eyes only, with what fresh returns. Of
// processes that do so at the same time all get the same.
func Once(name string, fresh func() ([]byte, error)) ([]byte, error) {
	contents, err := os.ReadFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return contents, err
	}
	if contents, err = fresh(); err != nil {
		return nil, err
	}
	draft, err := write(filepath.Dir(name), contents)
	if err != nil {
		return nil, of(name, err)
	}
	defer func() { _ = os.Remove(draft) }()
	// A link is there whole or not at all, and does not replace one that another process made.
	if err := os.Link(draft, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, of(name, err)
	}
	return os.ReadFile(name)
}

// Replace gives a file other contents, for its owner's eyes only. Whoever reads it finds the old or the new ones, also after
// the machine has failed.
func Replace(name string, contents []byte) error {
	draft, err := Prepare(name, contents)
	if err != nil {
		return err
	}
	defer draft.Discard()
	return draft.Place()
}

// A Draft is what a file may get as its contents. It is on the disk already.
type Draft struct{ name, path string }

// Prepare writes what a file is to hold, for its owner's eyes only, beside it. That takes as long as the disk does; to Place it does not.
func Prepare(name string, contents []byte) (*Draft, error) {
	path, err := write(filepath.Dir(name), contents)
	if err != nil {
		return nil, of(name, err)
	}
	return &Draft{name: name, path: path}, nil
}

// Place gives the file the contents of the draft.
func (d *Draft) Place() error {
	if err := os.Rename(d.path, d.name); err != nil {
		return of(d.name, err)
	}
	return nil
}

// Discard removes the draft if it was not placed.
func (d *Draft) Discard() { _ = os.Remove(d.path) }

// write makes a file of a name that nobody has.
func write(dir string, contents []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// of says to which file an error belongs, and not to which draft: the same failure has the same text each time.
func of(name string, err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}
