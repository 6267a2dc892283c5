package kept

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

var start = time.Unix(1_900_000_000, 0)

func instance(id string, phase tables.Phase) tables.Kept {
	return tables.Kept{Instance: tables.Instance{ID: id, Function: "web", Endpoint: "web/0001", Phase: phase, Memo: []byte("m")}, Expires: tables.Micros(time.Minute)}
}

// open opens a book and begins it anew with what stands in it.
func open(t *testing.T, name string, now time.Time) (*Book, map[string]tables.Kept) {
	b, before, err := Open(name, now)
	require.NoError(t, err)
	require.NoError(t, b.Renew(now, before))
	t.Cleanup(func() { _ = b.Close() })
	all := map[string]tables.Kept{}
	for _, k := range before {
		all[k.ID] = k
	}
	require.Len(t, all, len(before))
	return b, all
}

func TestTheNextProcessFindsTheLatestOfEach(t *testing.T) {
	name := filepath.Join(t.TempDir(), "book")
	b, none := open(t, name, start)
	require.Empty(t, none)
	require.NoError(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance("a", tables.PhaseExpected), instance("b", tables.PhaseExpected)}}))
	require.NoError(t, b.Write(start.Add(time.Second), tables.Changes{Kept: []tables.Kept{instance("a", tables.PhaseUp)}}))
	require.NoError(t, b.Write(start.Add(2*time.Second), tables.Changes{Kept: []tables.Kept{instance("c", tables.PhaseUp)}, Gone: []string{"b"}}))

	_, all := open(t, name, start.Add(5*time.Second))
	a, c := instance("a", tables.PhaseUp), instance("c", tables.PhaseUp)
	a.Ago, c.Ago = 4*time.Second, 3*time.Second
	require.Equal(t, map[string]tables.Kept{"a": a, "c": c}, all)
}

// A process that is killed while it writes leaves half a line, and what the one after it writes stands beside that.
func TestAHalfWrittenLineCostsNothingElse(t *testing.T) {
	name := filepath.Join(t.TempDir(), "book")
	b, _ := open(t, name, start)
	require.NoError(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance("a", tables.PhaseUp), instance("b", tables.PhaseUp)}}))
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	for cut := 0; cut < len(text); cut += 5 {
		require.NoError(t, os.WriteFile(name, text[:cut], 0o600))
		b, all := open(t, name, start)
		require.Len(t, all, strings.Count(string(text[:cut])+"\n", "}}\n"), "of whole lines")
		require.NoError(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance("c", tables.PhaseUp)}}))
		_, all = open(t, name, start)
		require.Contains(t, all, "c")
	}
}

// What is no longer true does not pile up, however long a relay runs.
func TestABookDoesNotGrowForEver(t *testing.T) {
	name := filepath.Join(t.TempDir(), "book")
	b, _ := open(t, name, start)
	lives := []tables.Kept{instance("lives", tables.PhaseUp)}
	require.NoError(t, b.Write(start, tables.Changes{Kept: lives}))
	renewed := 0
	for n := range 10_000 {
		id := fmt.Sprint("i", n)
		require.NoError(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance(id, tables.PhaseUp)}}))
		require.NoError(t, b.Write(start, tables.Changes{Gone: []string{id}}))
		if b.Worn(start) {
			require.NoError(t, b.Renew(start, lives))
			renewed++
		}
	}
	require.Positive(t, renewed)
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(2*longerBy))
	_, all := open(t, name, start)
	require.Equal(t, 1, len(all))
	require.Contains(t, all, "lives")
}

// The clock of a host may be set. What was written in its future was written just now.
func TestAClockThatWasSet(t *testing.T) {
	name := filepath.Join(t.TempDir(), "book")
	b, _ := open(t, name, start)
	require.NoError(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance("a", tables.PhaseUp)}}))
	for now, ago := range map[time.Time]time.Duration{start.Add(-time.Hour): 0, start.Add(10_000 * time.Hour): muchLater} {
		_, before, err := Open(name, now)
		require.NoError(t, err)
		require.Equal(t, ago, before[0].Ago)
	}
}

// A book that could not be written is begun anew with all that is kept, as soon as that is possible.
func TestWhatCouldNotBeWrittenIsMadeUpFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "book")
	b, _ := open(t, name, start)
	require.False(t, b.Worn(start))
	require.NoError(t, b.file.Close())
	require.Error(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance("a", tables.PhaseUp)}}))
	require.True(t, b.Worn(start))
	require.NoError(t, b.Renew(start, []tables.Kept{instance("a", tables.PhaseUp)}))
	require.False(t, b.Worn(start))
	_, all := open(t, name, start)
	require.Contains(t, all, "a")
}

// A full disk does not make a relay write all that it knows with each change. It says once what is wrong.
func TestABookThatCannotBeWrittenIsTriedOnceASecond(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "full")
	require.NoError(t, os.Mkdir(dir, 0o700))
	b, _ := open(t, filepath.Join(dir, "book"), start)
	require.NoError(t, os.RemoveAll(dir))
	why := b.Renew(start, nil)
	require.Error(t, why)
	now := start.Add(pause - 1)
	require.False(t, b.Worn(now))
	require.Equal(t, why, b.Write(now, tables.Changes{Kept: []tables.Kept{instance("a", tables.PhaseUp)}}), "it is missing")

	now = start.Add(pause)
	require.True(t, b.Worn(now))
	require.EqualError(t, b.Renew(now, nil), why.Error())

	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, b.Renew(now, []tables.Kept{instance("a", tables.PhaseUp)}))
	require.NoError(t, b.Write(now, tables.Changes{Kept: []tables.Kept{instance("b", tables.PhaseUp)}}))
	_, all := open(t, filepath.Join(dir, "book"), now)
	require.Len(t, all, 2)
}

// Where a host has failed, a part of the file may be zeros, of any length.
func TestWhatIsNoLineHidesNoOther(t *testing.T) {
	name := filepath.Join(t.TempDir(), "book")
	b, _ := open(t, name, start)
	require.NoError(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance("a", tables.PhaseUp)}}))
	_, err := b.file.Write(append(make([]byte, longerBy), '\n'))
	require.NoError(t, err)
	require.NoError(t, b.Write(start, tables.Changes{Kept: []tables.Kept{instance("b", tables.PhaseUp)}}))
	_, all := open(t, name, start)
	require.Len(t, all, 2)
}

// What is written there is for its owner only: it says what a relay's instances were told.
func TestABookIsPrivate(t *testing.T) {
	dir := t.TempDir()
	open(t, filepath.Join(dir, "book"), start)
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, all, 1, "no draft is left")
	info, err := all[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestABookThatCannotBeRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "book")
	require.NoError(t, os.Mkdir(name, 0o700))
	_, _, err := Open(name, start)
	require.ErrorContains(t, err, name)
}
