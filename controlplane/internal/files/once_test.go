package files

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFileIsMadeOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	var found [16]string
	var all sync.WaitGroup
	for i := range found {
		all.Go(func() {
			contents, err := Once(name, func() ([]byte, error) { return []byte{byte('a' + i)}, nil })
			if err == nil {
				found[i] = string(contents)
			}
		})
	}
	all.Wait()
	for _, contents := range found {
		require.Equal(t, found[0], contents)
		require.Len(t, contents, 1)
	}
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, err := Once(name, func() ([]byte, error) { return nil, errors.New("not to be called") })
	require.NoError(t, err)
	require.Equal(t, found[0], string(again))
	entries, err := os.ReadDir(filepath.Dir(name))
	require.NoError(t, err)
	require.Len(t, entries, 1, "drafts are left behind")
}

func TestAFileIsReplacedWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "term")
	for _, contents := range []string{"1", "22"} {
		require.NoError(t, Replace(name, []byte(contents)))
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, contents, string(got))
	}
	_, err := Once(filepath.Join(name, "beneath"), nil)
	require.Error(t, err)
}

// Who tries again says so once: the text of the error is the same each time, and names no draft.
func TestTheSameFailureHasTheSameText(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(taken, "by a folder"), 0o700))
	for _, name := range []string{filepath.Join(dir, "missing", "term"), taken} {
		err := Replace(name, []byte("1"))
		require.ErrorContains(t, err, name+": ")
		require.EqualError(t, Replace(name, []byte("1")), err.Error())
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "drafts are left behind")
}
