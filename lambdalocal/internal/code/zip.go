package code

import (
	"archive/zip"
	"bytes"
	"fmt"
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
		for _, f := range r.File {
			if err := unpack(f, into, left); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// unpack writes one entry. Symbolic links are refused: one could lead out of the folder.
func unpack(f *zip.File, into string, left *int64) error {
	if !filepath.IsLocal(f.Name) {
		return fmt.Errorf("%q leads out of the archive", f.Name)
	}
	target := filepath.Join(into, f.Name)
	mode := f.Mode()
	switch {
	case mode.IsDir():
		return os.MkdirAll(target, 0o755)
	case !mode.IsRegular():
		return fmt.Errorf("%q is neither a file nor a folder", f.Name)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	source, err := f.Open()
	if err != nil {
		return fmt.Errorf("%q: %w", f.Name, err)
	}
	defer source.Close()
	return write(source, target, readable(mode), left)
}

// readable is the mode of a file whose archive may know none.
func readable(mode fs.FileMode) fs.FileMode { return mode.Perm() | 0o444 }
