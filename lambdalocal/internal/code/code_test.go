package code_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/code"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestACopyStaysAsItWas(t *testing.T) {
	var s code.Store
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bootstrap"), "one", 0o755)
	write(t, filepath.Join(dir, "lib", "deep.js"), "deep", 0o644)
	write(t, filepath.Join(dir, ".git", "HEAD"), "x", 0o644)
	require.NoError(t, os.Symlink("lib/deep.js", filepath.Join(dir, "link")))
	first, err := s.Copy(dir)
	require.NoError(t, err)
	again, err := s.Copy(dir)
	require.NoError(t, err)
	require.Equal(t, first, again, "the same content is the same code")

	write(t, filepath.Join(dir, "bootstrap"), "two", 0o755)
	second, err := s.Copy(dir)
	require.NoError(t, err)
	require.NotEqual(t, first.Sha256, second.Sha256)
	require.Equal(t, "one", read(t, filepath.Join(first.Dir, "bootstrap")))
	require.Equal(t, "two", read(t, filepath.Join(second.Dir, "bootstrap")))
	require.Equal(t, "deep", read(t, filepath.Join(first.Dir, "link")))
	info, err := os.Stat(filepath.Join(first.Dir, "bootstrap"))
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&0o100, "executable")
	require.NoDirExists(t, filepath.Join(first.Dir, ".git"))

	require.NoError(t, s.Close())
	require.NoDirExists(t, first.Dir)
}

func TestALinkLeadsToAFolder(t *testing.T) {
	var s code.Store
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "current")
	write(t, filepath.Join(dir, "bootstrap"), "one", 0o755)
	require.NoError(t, os.Symlink(dir, link))
	kept, err := s.Copy(link)
	require.NoError(t, err)
	require.Equal(t, "one", read(t, filepath.Join(kept.Dir, "bootstrap")))
}

// A version for each change of a file costs the file, not the folder; what is changed in place later changes no copy.
func TestCopiesShareWhatHasNotChanged(t *testing.T) {
	var s code.Store
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	dir := t.TempDir()
	large, small := filepath.Join(dir, "node_modules", "large.js"), filepath.Join(dir, "server.js")
	write(t, large, "large", 0o644)
	write(t, small, "one", 0o644)
	first, err := s.Copy(dir)
	require.NoError(t, err)
	write(t, small, "two", 0o644)
	second, err := s.Copy(dir)
	require.NoError(t, err)
	require.True(t, sameFile(t, first.Dir, second.Dir, "node_modules/large.js"))
	require.False(t, sameFile(t, first.Dir, second.Dir, "server.js"))

	write(t, large, "other", 0o644) // as long as before
	require.NoError(t, os.Chmod(small, 0o755))
	third, err := s.Copy(dir)
	require.NoError(t, err)
	require.Equal(t, "large", read(t, filepath.Join(second.Dir, "node_modules", "large.js")))
	require.Equal(t, "other", read(t, filepath.Join(third.Dir, "node_modules", "large.js")))
	require.False(t, sameFile(t, second.Dir, third.Dir, "server.js"), "a mode is the file's")
}

func sameFile(t *testing.T, one, other, path string) bool {
	t.Helper()
	a, err := os.Stat(filepath.Join(one, path))
	require.NoError(t, err)
	b, err := os.Stat(filepath.Join(other, path))
	require.NoError(t, err)
	return os.SameFile(a, b)
}

func TestTooMuchCodeIsRefused(t *testing.T) {
	var s code.Store
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sparse"), "", 0o644)
	require.NoError(t, os.Truncate(filepath.Join(dir, "sparse"), code.MaxSize+1))
	_, err := s.Copy(dir)
	require.ErrorIs(t, err, code.ErrTooLarge)
}

// An entry of an archive. The content of a link is where it leads.
type entry struct {
	name    string
	mode    os.FileMode
	content string
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		require.NoError(t, err)
		_, err = f.Write([]byte(e.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestAnArchiveIsUnpacked(t *testing.T) {
	var s code.Store
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	entries := []entry{
		{"bootstrap", 0o755, "start"},
		{"a/b/c.js", 0, "content"},
		{"bin/c", os.ModeSymlink | 0o777, "../a/b/c.js"},
		{"lib", os.ModeSymlink | 0o777, "a"},
		{"lib/d.js", 0o644, "through a link"},
		{"opt", os.ModeSymlink | 0o777, "/opt"},
	}
	c, err := s.Unzip(archive(t, entries...))
	require.NoError(t, err)
	require.Equal(t, "content", read(t, filepath.Join(c.Dir, "a/b/c.js")))
	require.Equal(t, "content", read(t, filepath.Join(c.Dir, "bin/c")))
	require.Equal(t, "through a link", read(t, filepath.Join(c.Dir, "a/d.js")))
	to, err := os.Readlink(filepath.Join(c.Dir, "opt"))
	require.NoError(t, err)
	require.Equal(t, "/opt", to)
	entries[5].content = "/usr"
	other, err := s.Unzip(archive(t, entries...))
	require.NoError(t, err)
	require.NotEqual(t, c.Sha256, other.Sha256, "a link is where it leads")
}

func TestABadArchiveIsRefused(t *testing.T) {
	var s code.Store
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	outside := t.TempDir()
	link := func(to string) entry { return entry{"l", os.ModeSymlink | 0o777, to} }
	for message, data := range map[string][]byte{
		"not a valid zip":        []byte("text"),
		`"../x": mkdirat`:        archive(t, entry{"../x", 0o644, ""}),
		`"/etc/x": `:             archive(t, entry{"/etc/x", 0o644, ""}),
		"neither a file nor":     archive(t, entry{"l", os.ModeNamedPipe, ""}),
		`"l/absolute": mkdirat`:  archive(t, link(outside), entry{"l/absolute", 0o644, ""}),
		`"l/relative": mkdirat`:  archive(t, link("../.."), entry{"l/relative", 0o644, ""}),
		`"m/x": mkdirat`:         archive(t, link("."), entry{"m", os.ModeSymlink, "l/.."}, entry{"m/x", 0o644, ""}),
		`"l": openat l: file ex`: archive(t, link(outside+"/new"), entry{"l", 0o644, ""}),
	} {
		_, err := s.Unzip(data)
		require.ErrorContains(t, err, message)
	}
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}
