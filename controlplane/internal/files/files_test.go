package files

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errMismatch = errors.New("the two do not match")

// match takes two files that hold the same, as a certificate and a key do in a way.
func match(contents [][]byte) (string, error) {
	if !bytes.Equal(contents[0], contents[1]) {
		return "", errMismatch
	}
	return string(contents[0]), nil
}

// A pair is two files that are read together.
type pair struct {
	*Value[string]
	t           *testing.T
	first, last string
}

func newPair(t *testing.T) pair {
	t.Helper()
	dir := t.TempDir()
	p := pair{t: t, first: filepath.Join(dir, "first"), last: filepath.Join(dir, "last")}
	p.replace(p.first, "one")
	p.replace(p.last, "one")
	v, err := Read(match, nil, p.first, p.last)
	require.NoError(t, err)
	require.Equal(t, "one", v.Get())
	p.Value = v
	return p
}

// replace does what renewal tools do.
func (p pair) replace(name, text string) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(name+".new", []byte(text), 0o600))
	require.NoError(p.t, os.Rename(name+".new", name))
}

// holds looks, and checks what is held then.
func (p pair) holds(changed bool, want string) {
	p.t.Helper()
	require.Equal(p.t, changed, p.look())
	require.Equal(p.t, want, p.Get())
}

func TestFilesThatAreReplacedOneAfterTheOther(t *testing.T) {
	p := newPair(t)
	p.holds(false, "one")
	p.replace(p.last, "two")
	p.holds(false, "one")
	require.NoError(t, p.Refused(), "it may be half of a change")
	p.replace(p.first, "two")
	p.holds(false, "one")
	p.holds(true, "two")
	p.holds(false, "two")
	require.NoError(t, p.Refused())
}

func TestWhatDoesNotFitIsNotTaken(t *testing.T) {
	p := newPair(t)
	p.replace(p.last, "two")
	for range 3 {
		p.holds(false, "one")
	}
	require.ErrorIs(t, p.Refused(), errMismatch)
	require.NoError(t, os.Remove(p.first))
	p.holds(false, "one")
	p.holds(false, "one")
	require.ErrorIs(t, p.Refused(), os.ErrNotExist)
	p.replace(p.last, "one")
	p.replace(p.first, "one")
	p.holds(false, "one")
	require.NoError(t, p.Refused(), "as before")
}

// Kubernetes swaps one link, behind which both files lie.
func TestALinkThatIsSwapped(t *testing.T) {
	dir := t.TempDir()
	version := func(text string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, text), 0o700))
		for _, name := range []string{"tls.crt", "tls.key"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, text, name), []byte(text), 0o600))
		}
		require.NoError(t, os.Symlink(text, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("one")
	for _, name := range []string{"tls.crt", "tls.key"} {
		require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	v, err := Read(match, nil, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	require.NoError(t, err)
	version("two")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "one")))
	require.False(t, v.look())
	require.True(t, v.look())
	require.Equal(t, "two", v.Get())
}

// A file that is written in place is not taken while it grows, though its beginning would do.
func TestAFileThatIsBeingWritten(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(name, []byte("the first token"), 0o600))
	v, err := Read(func(c [][]byte) (string, error) { return string(c[0]), nil }, nil, name)
	require.NoError(t, err)
	for _, part := range []string{"the second", "the second tok", "the second token"} {
		require.NoError(t, os.WriteFile(name, []byte(part), 0o600))
		require.False(t, v.look())
	}
	require.True(t, v.look())
	require.Equal(t, "the second token", v.Get())
}

// What does not fit now may fit later, without another change.
func TestWhatFitsLater(t *testing.T) {
	p := newPair(t)
	early := errors.New("too early")
	refuse := early
	p.fit = func(string) error { return refuse }
	p.replace(p.first, "two")
	p.replace(p.last, "two")
	p.holds(false, "one")
	p.holds(false, "one")
	require.ErrorIs(t, p.Refused(), early)
	refuse = nil
	p.holds(true, "two")
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	whatever := func(c [][]byte) (int, error) { return len(c), nil }
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.WriteFile(large, make([]byte, 16<<20+1), 0o600))
	for name, says := range map[string]string{pipe: "not a file", dir: "not a file", large: "more than", dir + "/none": "no such file"} {
		_, err := Read(whatever, nil, name)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, name)
	}
}

func TestAWatchTellsOnceWhatHappens(t *testing.T) {
	p := newPair(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		log, said := logtest.NewNullLogger()
		w := NewWatch(log)
		changes := make(chan string, 1)
		Add(w, "pair", p.Value, func(text string) { changes <- text })
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		p.replace(p.first, "two")
		ticks(10)
		require.ErrorIs(t, w.Refused()["pair"], errMismatch)
		p.replace(p.last, "two")
		ticks(10)
		require.Equal(t, "two", <-changes)
		require.Empty(t, w.Refused())
		var levels []logrus.Level
		for _, e := range said.AllEntries() {
			levels = append(levels, e.Level)
		}
		require.Equal(t, []logrus.Level{logrus.WarnLevel, logrus.InfoLevel}, levels)
		cancel()
		require.NoError(t, <-done)
	})
}

func ticks(n int) {
	for range n {
		time.Sleep(every)
		synctest.Wait()
	}
}
