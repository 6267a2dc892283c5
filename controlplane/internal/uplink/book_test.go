package uplink

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/kept"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

// A relay whose disk is full serves, says so once, and writes everything down when there is room again.
func TestADiskThatIsFull(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "full")
	synctest.Test(t, func(t *testing.T) {
		log, lines := logtest.NewNullLogger()
		r := NewRelay(Options{Hello: tables.Hello{Relay: "pair", Boot: "b"}, Log: log})
		book, none, err := kept.Open(filepath.Join(dir, "book"), time.Now())
		require.NoError(t, err)
		r.Remember(book, none)
		for range 100 {
			r.Waiting(relays.Waiting{Instance: "a"})
			time.Sleep(100 * time.Millisecond)
		}
		require.Len(t, lines.AllEntries(), 1)
		require.Contains(t, lines.LastEntry().Message, "is not written down")
		require.NotEmpty(t, r.Status().Unkept)

		require.NoError(t, os.Mkdir(dir, 0o700))
		time.Sleep(time.Second)
		r.Waiting(relays.Waiting{Instance: "a"})
		require.FileExists(t, filepath.Join(dir, "book"))
		require.Empty(t, r.Status().Unkept)
		require.NoError(t, book.Close())
	})
}
