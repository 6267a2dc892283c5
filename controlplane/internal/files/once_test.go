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
