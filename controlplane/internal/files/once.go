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
	draft, err := write(filepath.Dir(name), contents)
	if err != nil {
		return of(name, err)
	}
	if err := os.Rename(draft, name); err != nil {
		return errors.Join(of(name, err), os.Remove(draft))
	}
	return nil
}

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
