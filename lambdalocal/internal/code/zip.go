package code

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Unzip returns the unpacked archive. An error says what is wrong with it.
func (s *Store) Unzip(archive []byte) (Code, error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return Code{}, err
	}
	return s.keep(func(into string, left *int64) error {
		root, err := os.OpenRoot(into)
		if err != nil {
			return err
		}
		defer root.Close()
		for _, f := range r.File {
			if err := unpack(f, root, left); err != nil {
				return fmt.Errorf("%q: %w", f.Name, err)
			}
		}
		return nil
	}, nil)
}

// maxTarget bounds what a symbolic link may lead to, in bytes.
const maxTarget = 4 << 10

// unpack writes one entry. The root keeps out what its name, or a symbolic link that was unpacked before, would bring elsewhere.
func unpack(f *zip.File, root *os.Root, left *int64) error {
	name, mode := filepath.FromSlash(f.Name), f.Mode()
	if mode.IsDir() {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	source, err := f.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	switch {
	case mode&fs.ModeSymlink != 0:
		target, err := io.ReadAll(io.LimitReader(source, maxTarget))
		return errors.Join(err, root.Symlink(string(target), name))
	case !mode.IsRegular():
		return errors.New("is neither a file nor a folder nor a link")
	}
	file, err := root.OpenFile(name, asNew, readable(mode))
	if err != nil {
		return err
	}
	return write(source, file, left)
}

// readable is the mode of a file whose archive may know none.
func readable(mode fs.FileMode) fs.FileMode { return mode.Perm() | 0o444 }
