package cli

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// What the command prints is what the function's variable takes, alone on standard output.
func TestKey(t *testing.T) {
	key := filepath.Join(t.TempDir(), "keys", "signing.key")
	made, stderr, err := try(t, "key", "new", key)
	require.NoError(t, err)
	require.Empty(t, stderr)
	keys, err := signature.ParsePublic(made)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	printed, _, err := try(t, "key", "public", key)
	require.NoError(t, err)
	require.Equal(t, made, printed)

	stdout, _, err := try(t, "key", "new", key)
	require.ErrorContains(t, err, "file exists")
	require.Empty(t, stdout)
	stdout, _, err = try(t, "check", "--set", "signing.key_file="+key, file(t, valid))
	require.NoError(t, err)
	require.Contains(t, stdout, "valid")
}

func TestMistakesWithKeys(t *testing.T) {
	for want, args := range map[string][]string{
		"key: a command is missing: new, public":                                      {"key"},
		`key: unknown command "old": new, public`:                                     {"key", "old", "x"},
		"no such file or directory; `lambda-dispatch key new /nowhere/key` makes one": {"key", "public", "/nowhere/key"},
	} {
		_, _, err := try(t, args...)
		require.ErrorContains(t, err, want)
	}
}
