package code

import (
	"io/fs"
	"os"
	"path/filepath"
)

// walk visits the files and folders that belong to the code in a folder: folders before their content, version control not at all.
func walk(dir string, visit func(path, relative string, d fs.DirEntry) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil || relative == "." {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		return visit(path, relative, d)
	})
}

// measure fails if a folder is too large, before anything is copied.
func measure(dir string) error {
	size := int64(0)
	return walk(dir, func(_, _ string, d fs.DirEntry) error {
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if size += info.Size(); size > MaxSize {
			return ErrTooLarge
		}
		return nil
	})
}

// A copier copies a folder.
type copier struct {
	from   string
	before string // an earlier copy of it, empty if there is none
	shared int64  // bytes of files that are in both
}

// copy fills an empty folder, and subtracts its bytes from *left.
func (c *copier) copy(into string, left *int64) error {
	return walk(c.from, func(path, relative string, d fs.DirEntry) error {
		target := filepath.Join(into, relative)
		switch {
		case d.IsDir():
			return os.Mkdir(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			return copyLink(path, target)
		case d.Type().IsRegular():
			return c.copyFile(path, relative, target, left)
		}
		return nil
	})
}

func copyLink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	return os.Symlink(target, to)
}

// copyFile copies a file with its time, or shares the one in the copy before.
func (c *copier) copyFile(from, relative, to string, left *int64) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if c.share(relative, to, info) {
		*left -= info.Size()
		return nil
	}
	file, err := os.OpenFile(to, asNew, info.Mode().Perm())
	if err != nil {
		return err
	}
	if err := write(source, file, left); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// share links the file of the copy before into this one, if size, time and mode are the same.
func (c *copier) share(relative, to string, like fs.FileInfo) bool {
	if c.before == "" {
		return false
	}
	path := filepath.Join(c.before, relative)
	info, err := os.Lstat(path)
	if err != nil || info.Size() != like.Size() || info.Mode() != like.Mode() || !info.ModTime().Equal(like.ModTime()) {
		return false
	}
	if os.Link(path, to) != nil {
		return false
	}
	c.shared += info.Size()
	return true
}
