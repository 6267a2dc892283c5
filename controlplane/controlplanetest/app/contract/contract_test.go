package contract

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBytesAreTheSameFromEveryOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 100_000).Draw(t, "n")
		whole, err := io.ReadAll(iotest.HalfReader(Bytes(int64(n))))
		require.NoError(t, err)
		require.Len(t, whole, n)
		from := rapid.IntRange(0, n).Draw(t, "from")
		part := make([]byte, n-from)
		Fill(part, int64(from))
		require.Equal(t, whole[from:], part)
	})
}

func TestReadEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	none, err := ReadEvents(path, "")
	require.NoError(t, err)
	require.Empty(t, none)

	require.NoError(t, os.WriteFile(path, []byte(
		`{"key":"a","name":"started"}`+"\n"+
			`{"key":"max_in_flight","in_flight":3,"environment":"e1"}`+"\n"+
			`{"key":"max_in_flight","in_flight":2,"environment":"e1"}`+"\n"+
			`{"key":"a","na`), 0o600))
	all, err := ReadEvents(path, "")
	require.NoError(t, err)
	require.Len(t, all, 3)
	one, err := ReadEvents(path, "a")
	require.NoError(t, err)
	require.Equal(t, []Event{{Key: "a", Name: Started}}, one)
	highest, err := MaxInFlight(path)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"e1": 3}, highest)

	_, err = decodeEvents([]byte("{}\nnot json\n"), "")
	require.ErrorContains(t, err, "line 2:")
}

func FuzzDecodeEvents(f *testing.F) {
	f.Add([]byte(`{"key":"a"}` + "\n" + `{"key":`))
	f.Fuzz(func(_ *testing.T, file []byte) { _, _ = decodeEvents(file, "") })
}
