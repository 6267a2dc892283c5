package dev

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// What is saved after the first version was made, and before anybody watches, is not lost; nor is it in a folder to which a link leads.
func TestAChangeFromBeforeTheWatchIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		link := filepath.Join(t.TempDir(), "current")
		require.NoError(t, os.Symlink(dir, link))
		save := func(file, text string) {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
		}
		save("app.py", "one")
		save("gone.py", "one")
		served := folder{dir: link}.look()
		save("app.py", "another")
		save("lib/new.py", "one")
		save("app.log", "one")
		save(".git/HEAD", "one")
		require.NoError(t, os.Remove(filepath.Join(dir, "gone.py")))

		ctx, end := context.WithCancel(t.Context())
		defer end()
		changes := make(chan []string)
		go folder{dir: link}.watch(ctx, served, func(_ context.Context, files []string) { changes <- files })
		require.Equal(t, []string{"app.py", "gone.py", "lib/new.py"}, <-changes)
		save("app.py", "a third one")
		require.Equal(t, []string{"app.py"}, <-changes)
	})
}

// Each line about a change would be the next change. A file is the same one by any name.
func TestWhatDevItselfWritesToIsNotWatched(t *testing.T) {
	dir := t.TempDir()
	create := func(name string) *os.File {
		file, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, file.Close()) })
		return file
	}
	out, errs := create("out.txt"), create("errors.txt")
	create("app.py")
	f := Options{Dir: dir, Outputs: []*os.File{out, errs}}.folder()
	watched := func() []string { return differences(nil, f.look()) }
	require.Equal(t, []string{"app.py"}, watched())
	require.NoError(t, os.Rename(out.Name(), filepath.Join(dir, "old.txt")))
	require.Equal(t, []string{"app.py"}, watched())
	create("out.txt")
	require.Equal(t, []string{"app.py", "out.txt"}, watched())
}

func TestLogsAreNotWatchedAndCodeWithSuchANameIs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"app.log", "app.log.1", "app.log.2026-11-30", "access.log.js", "catalog.py"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.Equal(t, []string{"access.log.js", "catalog.py"}, differences(nil, folder{dir: dir}.look()))
}
