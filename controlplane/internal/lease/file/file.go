// Package file keeps the record of a lease in a file, for control planes on one host. The file is replaced as a whole, under a lock
// which the kernel releases when its process dies. Who only reads takes no lock: a standby looks many times a second, and one that is
// stopped in that moment would keep all others from leading. The holder keeps another such lock as long as it lives, so that its
// death is noticed at once. A holder that hangs loses the lease when that expires.
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
	replace func(name string, contents []byte) error

	mu   sync.Mutex
	life *os.File // locked while this process holds the record; otherwise nil
	term uint64   // the term of life
}

// New returns the store of a directory, for the candidate me.
func New(dir, me string) *Store { return &Store{dir: dir, me: me, replace: files.Replace} }

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
	unlock, err := s.lock(ctx)
	if err != nil {
		return lease.Found{}, err
	}
	defer unlock()
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
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
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
		if err := s.live(next.Term); err != nil {
			return err
		}
	}
	text, err := json.Marshal(next)
	if err == nil {
		err = s.replace(s.record(), append(text, '\n'))
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

// lock keeps other processes out until unlock is called.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	s.mu.Lock()
	f, err := os.OpenFile(filepath.Join(s.dir, "leader.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		if err = flock(ctx, f); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("lease: %w", err)
	}
	return func() {
		_ = f.Close()
		s.mu.Unlock()
	}, nil
}

// flock waits for a lock, which others hold only for a moment unless they hang.
func flock(ctx context.Context, f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
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
