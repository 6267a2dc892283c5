// Package file keeps the record of a lease in a file, for control planes on one host. The file is replaced as a whole, under a lock
// which the kernel releases when its process dies. The holder of the record keeps another such lock as long as it lives, so that its
// death is noticed at once. A holder that hangs loses the lease when that expires.
//
// A process may be stopped at any moment, and must not keep the others from leading. So who only reads takes no lock, and what the disk
// takes its time for is done before. Whoever has the lock for longer than patience loses it, and notices that just before it changes the
// record. One that is stopped in that very moment may write an old record over a newer one: relays refuse its term, and the holder of the newer
// one ends its own at its next renewal.
package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
)

// maxRecord bounds what is read, in bytes.
const maxRecord = 1 << 20

// A Store is a lease.Store in a directory.
type Store struct {
	dir     string
	me      string
	prepare func(name string, contents []byte) (*files.Draft, error)

	mu   sync.Mutex
	life *os.File // locked while this process holds the record; otherwise nil
	term uint64   // the term of life
}

// New returns the store of a directory, for the candidate me.
func New(dir, me string) *Store { return &Store{dir: dir, me: me, prepare: files.Prepare} }

func (s *Store) record() string { return filepath.Join(s.dir, "leader.json") }

// lives is the path of the file that the leader of a term keeps locked.
func (s *Store) lives(term uint64) string {
	return filepath.Join(s.dir, "leader."+strconv.FormatUint(term, 10)+".lock")
}

// Watch is how often a standby reads the record. Reading a file costs next to nothing.
func (s *Store) Watch() time.Duration { return 50 * time.Millisecond }

// Read implements lease.Store. What it finds may be older than a Swap of that moment, which then refuses what is made of it.
func (s *Store) Read(ctx context.Context) (lease.Found, error) {
	if text, err := os.ReadFile(s.record()); err == nil {
		if r, err := parse(text); err == nil {
			return s.found(r), nil
		}
	}
	return s.readLost(ctx)
}

// readLost reads under the lock, because the locks of terms, which must not change meanwhile, tell what is lost.
func (s *Store) readLost(ctx context.Context) (lease.Found, error) {
	lock, err := s.lock(ctx)
	if err != nil {
		return lease.Found{}, err
	}
	defer s.unlock(lock)
	r, err := s.read()
	if err != nil {
		return lease.Found{}, err
	}
	return s.found(r), nil
}

func (s *Store) found(r lease.Record) lease.Found {
	return lease.Found{Record: r, Gone: r.Holder != "" && r.Holder != s.me && s.gone(r.Term)}
}

// Swap implements lease.Store.
func (s *Store) Swap(ctx context.Context, seen uint64, next lease.Record) error {
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	draft, err := s.prepare(s.record(), append(text, '\n'))
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	defer draft.Discard()
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer s.unlock(lock)
	now, err := s.read()
	if err != nil {
		return err
	}
	if now.Version == 0 && s.life != nil {
		if _, othersLive := s.lost(); !othersLive {
			now.Version = seen // the record was lost, and nobody else has led meanwhile
		}
	}
	if now.Version != seen {
		return &lease.ConflictError{Now: now}
	}
	if next.Holder == s.me {
		err := s.live(next.Term)
		if errors.Is(err, syscall.EWOULDBLOCK) { // another process was about to lead that term when it was stopped: nobody else may lead it
			now.Term = next.Term
			return &lease.ConflictError{Now: now}
		}
		if err != nil {
			return err
		}
	}
	if err = s.counts(lock); err == nil {
		err = draft.Place()
	}
	if err != nil {
		if now.Term != next.Term {
			s.die() // it was not elected, and must not keep others from being it
		}
		return fmt.Errorf("lease: %w", err)
	}
	if next.Holder != s.me {
		s.die()
	}
	if now.Term != next.Term {
		_ = os.Remove(s.lives(now.Term))
	}
	return nil
}

// patience is how long one process may have the lock while another one waits. It takes far less than a millisecond to change the record.
const patience = 500 * time.Millisecond

// errStands says that another process has had a lock for longer than patience.
var errStands = errors.New("another process has it and stands still")

// lock keeps other processes, and other calls in this one, from changing the record until unlock is called. If another process has the
// lock and stands still, that lock is removed and the next one counts.
func (s *Store) lock(ctx context.Context) (f *os.File, err error) {
	s.mu.Lock()
	defer func() {
		if err != nil {
			s.mu.Unlock()
			err = fmt.Errorf("lease: %w", err)
		}
	}()
	for {
		if f, err = os.OpenFile(filepath.Join(s.dir, "leader.lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return nil, err
		}
		err = flock(ctx, f)
		counts := s.counts(f) == nil
		if err == nil && counts {
			return f, nil
		}
		if errors.Is(err, errStands) {
			if err = nil; counts {
				err = os.Remove(f.Name())
			}
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process may have removed it first
			return nil, err
		}
	}
}

func (s *Store) unlock(f *os.File) {
	_ = f.Close()
	s.mu.Unlock()
}

// counts reports an error if others have removed the file of a lock: then it keeps nobody out any more.
func (s *Store) counts(f *os.File) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(f.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, now) {
		return fmt.Errorf("%s: this process had it for so long that another one took it", f.Name())
	}
	return err
}

// flock waits for a lock, which others hold only for a moment unless they stand still.
func flock(ctx context.Context, f *os.File) error {
	for began := time.Now(); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if time.Since(began) > patience {
			return errStands
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: another process holds it: %w", f.Name(), ctx.Err())
		}
	}
}

// read returns the record. What is no record, or not there, was lost. If another process lives that has led, that is an error where the
// file holds something: the other one writes it again.
func (s *Store) read() (lease.Record, error) {
	text, err := os.ReadFile(s.record())
	if errors.Is(err, fs.ErrNotExist) {
		r, _ := s.lost()
		return r, nil
	}
	if err != nil {
		return lease.Record{}, fmt.Errorf("lease: %w", err)
	}
	r, err := parse(text)
	if err == nil {
		return r, nil
	}
	r, othersLive := s.lost()
	if othersLive {
		return lease.Record{}, lease.Because(lease.Unreadable, fmt.Errorf("lease: %s: %w", s.record(), err))
	}
	return r, nil
}

func parse(text []byte) (r lease.Record, err error) {
	if len(text) > maxRecord {
		return r, fmt.Errorf("%d bytes, at most %d", len(text), maxRecord)
	}
	if err = json.Unmarshal(text, &r); err == nil {
		err = r.Validate()
	}
	return r, err
}

// live locks the file of a term.
func (s *Store) live(term uint64) error {
	if s.life != nil && s.term == term {
		return nil
	}
	s.die()
	f, err := os.OpenFile(s.lives(term), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("lease: %s: %w", f.Name(), err), f.Close())
	}
	s.life, s.term = f, term
	return nil
}

// die unlocks and removes the file of the term that this process has led.
func (s *Store) die() {
	if s.life != nil {
		_ = os.Remove(s.life.Name())
		_ = s.life.Close()
		s.life = nil
	}
}

// gone tells whether the lock of a term is not held any more. Without such a file that is not known, and gone is false.
func (s *Store) gone(term uint64) bool {
	held, known := s.held(term)
	return known && !held
}

// held tells whether another process holds the lock of a term, if there is such a file.
func (s *Store) held(term uint64) (held, known bool) {
	f, err := os.Open(s.lives(term))
	if err != nil {
		return false, false
	}
	defer func() { _ = f.Close() }()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil, true
}

// lost returns what the locks of terms tell where the record is lost: the highest term, and whether another process lives that has led.
func (s *Store) lost() (r lease.Record, othersLive bool) {
	entries, _ := os.ReadDir(s.dir) // what cannot be read tells nothing
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "leader.")
		term, err := strconv.ParseUint(strings.TrimSuffix(number, ".lock"), 10, 64)
		if !ok || err != nil {
			continue
		}
		r.Term = max(r.Term, term)
		if held, _ := s.held(term); held && (s.life == nil || s.term != term) {
			othersLive = true
		}
	}
	return r, othersLive
}
