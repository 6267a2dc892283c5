package dev

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
)

const (
	lookEvery = 250 * time.Millisecond // at most a twentieth of the time is spent looking
	share     = 20
	settle    = 100 * time.Millisecond // that nothing changes, before a change counts: editors and compilers write in steps
	settleMax = 20                     // times
)

// maxFiles bounds what is watched. Of a folder that has more, the others are not.
const maxFiles = 20_000

// rotated are logs that go on in another file: app.log.1, app.log.2026-11-30.
var rotated = regexp.MustCompile(`\.log\.[0-9]`)

// A stamp is what tells that a file has changed.
type stamp struct {
	size     int64
	modified int64
	mode     fs.FileMode
}

// A folder is the app's. What begins with a dot, what others have installed and what programs leave behind in it is not watched, nor
// the files that dev itself writes to.
type folder struct {
	dir  string
	ours []fs.FileInfo
}

// watch calls changed with the files that have changed since they were known, until ctx ends. It asks again and again, which works on
// every file system.
func (f folder) watch(ctx context.Context, known map[string]stamp, changed func(ctx context.Context, files []string)) {
	interval := lookEvery
	for pause.For(ctx, interval) {
		began := time.Now()
		now := f.look()
		interval = max(lookEvery, share*time.Since(began))
		if maps.Equal(known, now) {
			continue
		}
		for range settleMax {
			before := now
			if !pause.For(ctx, settle) {
				return
			}
			if now = f.look(); maps.Equal(before, now) {
				break
			}
		}
		files := differences(known, now)
		known = now
		if len(files) > 0 {
			changed(ctx, files)
		}
	}
}

// look returns the stamps of the files that are watched, by their paths in the folder, to which a link may lead.
func (f folder) look() map[string]stamp {
	files := map[string]stamp{}
	dir, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		return files
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil: // it has gone meanwhile, or is not ours to read
			return nil
		case path != dir && ignored(path, d):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case len(files) >= maxFiles:
			return fs.SkipAll
		case !d.Type().IsRegular():
			return nil
		}
		if info, err := d.Info(); err == nil && !f.writes(info) {
			relative, _ := filepath.Rel(dir, path)
			files[relative] = stamp{info.Size(), info.ModTime().UnixNano(), info.Mode()}
		}
		return nil
	})
	return files
}

// writes tells whether dev itself writes to a file, whatever its name is by now.
func (f folder) writes(file fs.FileInfo) bool {
	return slices.ContainsFunc(f.ours, func(own fs.FileInfo) bool { return os.SameFile(own, file) })
}

func ignored(path string, d fs.DirEntry) bool {
	name := d.Name()
	if strings.HasPrefix(name, ".") {
		return true
	}
	if d.IsDir() {
		return name == "node_modules" || name == "__pycache__" || exists(filepath.Join(path, "pyvenv.cfg"))
	}
	return strings.HasSuffix(name, "~") || rotated.MatchString(name) || slices.Contains([]string{".log", ".pyc", ".tmp"}, filepath.Ext(name))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// differences are the files that are new, gone or different, sorted.
func differences(before, after map[string]stamp) (files []string) {
	for path, now := range after {
		if was, known := before[path]; !known || was != now {
			files = append(files, path)
		}
	}
	for path := range before {
		if _, still := after[path]; !still {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files
}
