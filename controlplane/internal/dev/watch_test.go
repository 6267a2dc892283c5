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
		served := look(link)
		save("app.py", "another")
		save("lib/new.py", "one")
		save("app.log", "one")
		save(".git/HEAD", "one")
		require.NoError(t, os.Remove(filepath.Join(dir, "gone.py")))

		ctx, end := context.WithCancel(t.Context())
		defer end()
		changes := make(chan []string)
		go watch(ctx, link, served, func(_ context.Context, files []string) { changes <- files })
		require.Equal(t, []string{"app.py", "gone.py", "lib/new.py"}, <-changes)
		save("app.py", "a third one")
		require.Equal(t, []string{"app.py"}, <-changes)
	})
}
