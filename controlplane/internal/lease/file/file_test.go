package file

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/leasetest"
)

const holderDir = "LEASE_FILE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderDir); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

func TestAFileConforms(t *testing.T) {
	root := t.TempDir()
	leasetest.Conform(t, func(t *testing.T, place, me string) lease.Store {
		dir := filepath.Join(root, place)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		return New(dir, me)
	})
}

// hold is another process that leads until it is killed.
func hold(dir string) {
	err := New(dir, "other").Swap(context.Background(), 0, lease.Record{Version: 1, Term: 1, Holder: "other"})
	if err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString("holds\n")
	time.Sleep(time.Minute)
	os.Exit(1)
}

// A holder that is killed is followed at once; one that lives is not.
func TestTheDeathOfAHolderIsSeen(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holderDir+"="+dir)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	_, err = out.Read(make([]byte, 16))
	require.NoError(t, err)

	store := New(dir, "me")
	found, err := store.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "other", found.Holder)
	require.False(t, found.Gone)
	require.NoError(t, other.Process.Kill())
	_ = other.Wait()
	found, err = store.Read(t.Context())
	require.NoError(t, err)
	require.True(t, found.Gone)

	require.NoError(t, store.Swap(t.Context(), 1, lease.Record{Version: 2, Term: 2, Holder: "me"}))
	found, err = New(dir, "third").Read(t.Context())
	require.NoError(t, err)
	require.False(t, found.Gone)
	require.NoFileExists(t, store.lives(1))
	require.NoError(t, store.Swap(t.Context(), 2, lease.Record{Version: 3, Term: 2}))
	require.NoFileExists(t, store.lives(2))
}

func TestADirectoryThatIsMissingIsNamed(t *testing.T) {
	_, err := New(filepath.Join(t.TempDir(), "missing"), "me").Read(t.Context())
	require.ErrorContains(t, err, "missing")
	require.Equal(t, lease.NotFound, lease.CauseOf(err))
}

// Metrics name what is wrong with the directory.
func TestWhatFailsHasACause(t *testing.T) {
	dir := t.TempDir()
	holder, standby := New(dir, "holder"), New(dir, "standby")
	defer holder.die()
	require.NoError(t, holder.Swap(t.Context(), 0, lease.Record{Version: 1, Term: 7, Holder: "holder"}))
	for errno, cause := range map[syscall.Errno]lease.Cause{syscall.EROFS: lease.ReadOnly, syscall.EACCES: lease.Denied, syscall.ENOSPC: lease.Full} {
		holder.prepare = func(name string, _ []byte) (*files.Draft, error) {
			return nil, &os.PathError{Op: "open", Path: name, Err: errno}
		}
		require.Equal(t, cause, lease.CauseOf(holder.Swap(t.Context(), 1, lease.Record{Version: 2, Term: 7, Holder: "holder"})))
	}
	require.NoError(t, os.WriteFile(holder.record(), []byte("{"), 0o600))
	_, err := standby.Read(t.Context())
	require.Equal(t, lease.Unreadable, lease.CauseOf(err))
	hung, err := os.OpenFile(filepath.Join(dir, "leader.lock"), os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(hung.Fd()), syscall.LOCK_EX))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = standby.Read(ctx)
	require.Equal(t, lease.TimedOut, lease.CauseOf(err))
	require.NoError(t, hung.Close())
}

// A standby that is stopped while it looks at the record keeps nobody from leading, and one that looks waits for nobody.
func TestWhoReadsTakesNoLock(t *testing.T) {
	dir := t.TempDir()
	holder, standby := New(dir, "holder"), New(dir, "standby")
	defer holder.die()
	first := lease.Record{Version: 1, Term: 7, Holder: "holder"}
	require.NoError(t, holder.Swap(t.Context(), 0, first))
	lock, err := holder.lock(t.Context())
	require.NoError(t, err)
	defer holder.unlock(lock)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	found, err := standby.Read(over)
	require.NoError(t, err)
	require.Equal(t, lease.Found{Record: first}, found)
}

// A leader that is stopped while it changes the record keeps nobody from leading. When it goes on it changes nothing, and knows that.
func TestALeaderThatIsStoppedAsItChangesTheRecordIsFollowed(t *testing.T) {
	dir := t.TempDir()
	holder, standby := New(dir, "holder"), New(dir, "standby")
	defer holder.die()
	defer standby.die()
	require.NoError(t, holder.Swap(t.Context(), 0, lease.Record{Version: 1, Term: 7, Holder: "holder"}))
	lock, err := holder.lock(t.Context())
	require.NoError(t, err)

	next := lease.Record{Version: 2, Term: 8, Holder: "standby"}
	require.NoError(t, standby.Swap(t.Context(), 1, next))
	require.ErrorContains(t, holder.counts(lock), "another one took it")
	holder.unlock(lock)
	var conflict *lease.ConflictError
	require.ErrorAs(t, holder.Swap(t.Context(), 1, lease.Record{Version: 2, Term: 7, Holder: "holder"}), &conflict)
	require.Equal(t, next, conflict.Now)
	require.NoError(t, standby.Swap(t.Context(), 2, lease.Record{Version: 3, Term: 8, Holder: "standby"}))
}

// Nor does a process that is stopped just when it begins to lead. The term that it would have led is nobody's.
func TestAStandbyThatIsStoppedAsItBeginsToLeadIsFollowed(t *testing.T) {
	dir := t.TempDir()
	stopped, other := New(dir, "stopped"), New(dir, "other")
	defer stopped.die()
	defer other.die()
	first := lease.Record{Version: 1, Term: 7}
	require.NoError(t, other.Swap(t.Context(), 0, first))
	lock, err := stopped.lock(t.Context())
	require.NoError(t, err)
	require.NoError(t, stopped.live(8))

	var conflict *lease.ConflictError
	require.ErrorAs(t, other.Swap(t.Context(), 1, lease.Record{Version: 2, Term: 8, Holder: "other"}), &conflict)
	require.Equal(t, lease.Record{Version: 1, Term: 8}, conflict.Now)
	require.NoError(t, other.Swap(t.Context(), 1, lease.Record{Version: 2, Term: 9, Holder: "other"}))
	require.Error(t, stopped.counts(lock))
	stopped.unlock(lock)
}

// While its holder lives a record that is lost is no reason to elect another one: it is written again. After that anybody may lead, in a
// higher term.
func TestARecordThatIsLostIsWrittenAgainByItsHolder(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"version":9,"holder":"nobody"}`, "\x00\x00\x00\x00"} {
		dir := t.TempDir()
		holder, standby := New(dir, "holder"), New(dir, "standby")
		require.NoError(t, holder.Swap(t.Context(), 0, lease.Record{Version: 1, Term: 7, Holder: "holder", Relays: []string{"p"}}))
		require.NoError(t, os.WriteFile(holder.record(), []byte(text), 0o600))
		_, err := standby.Read(t.Context())
		require.ErrorContains(t, err, "leader.json", "%q", text)
		require.Error(t, standby.Swap(t.Context(), 1, lease.Record{Version: 2, Term: 8, Holder: "standby"}))

		renewed := lease.Record{Version: 2, Term: 7, Holder: "holder", Relays: []string{"p"}}
		require.NoError(t, holder.Swap(t.Context(), 1, renewed), "%q", text)
		found, err := standby.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, lease.Found{Record: renewed}, found)

		require.NoError(t, os.WriteFile(holder.record(), []byte(text), 0o600))
		require.NoError(t, holder.life.Close(), "it dies")
		found, err = standby.Read(t.Context())
		require.NoError(t, err, "%q", text)
		require.Equal(t, lease.Record{Term: 7}, found.Record)
		require.NoError(t, standby.Swap(t.Context(), 0, lease.Record{Version: 1, Term: 8, Holder: "standby"}))
		require.Error(t, holder.Swap(t.Context(), 2, renewed), "another has led")
		standby.die()
	}
}

// Whoever comes first may lead if the file is removed. If that is its holder, nothing changes.
func TestARecordThatIsRemoved(t *testing.T) {
	dir := t.TempDir()
	holder, standby := New(dir, "holder"), New(dir, "standby")
	defer holder.die()
	defer standby.die()
	require.NoError(t, holder.Swap(t.Context(), 0, lease.Record{Version: 1, Term: 7, Holder: "holder"}))
	require.NoError(t, os.Remove(holder.record()))
	require.NoError(t, holder.Swap(t.Context(), 1, lease.Record{Version: 2, Term: 7, Holder: "holder"}))
	require.NoError(t, os.Remove(holder.record()))
	found, err := standby.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, lease.Record{Term: 7}, found.Record)
	require.NoError(t, standby.Swap(t.Context(), 0, lease.Record{Version: 1, Term: 8, Holder: "standby"}))
	var conflict *lease.ConflictError
	require.ErrorAs(t, holder.Swap(t.Context(), 2, lease.Record{Version: 3, Term: 7, Holder: "holder"}), &conflict)
	require.Equal(t, "standby", conflict.Now.Holder)
}

// Who could not write the record, because the disk was full say, does not keep another process from leading the term.
func TestWhoCannotWriteTheRecordLocksNoTerm(t *testing.T) {
	dir := t.TempDir()
	full, other := New(dir, "full"), New(dir, "other")
	defer other.die()
	full.prepare = func(name string, contents []byte) (*files.Draft, error) {
		draft, err := files.Prepare(name, contents)
		draft.Discard() // the disk fails after the last moment at which that could be known
		return draft, err
	}
	next := lease.Record{Version: 1, Term: 1, Holder: "full"}
	require.ErrorIs(t, full.Swap(t.Context(), 0, next), syscall.ENOENT)
	next.Holder = "other"
	require.NoError(t, other.Swap(t.Context(), 0, next))

	// The leader itself stays alive for others.
	next.Version++
	other.prepare = full.prepare
	require.ErrorIs(t, other.Swap(t.Context(), 1, next), syscall.ENOENT)
	found, err := full.Read(t.Context())
	require.NoError(t, err)
	require.False(t, found.Gone)
}

// Whatever the file holds, a record is read that makes sense, or an error.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":3,"term":2,"holder":"a","address":"10.0.0.1","relays":["p1"],"alone":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		store := New(t.TempDir(), "me")
		require.NoError(t, os.WriteFile(store.record(), text, 0o600))
		found, err := store.Read(t.Context())
		if err != nil {
			require.Zero(t, found)
			return
		}
		require.NoError(t, store.Swap(t.Context(), found.Version, found.Record))
		again, err := store.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(found.Record), fmt.Sprint(again.Record))
	})
}
