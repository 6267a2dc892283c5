package lease

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"syscall"
	"time"
)

// A Cause names what is wrong with a store, in a word.
type Cause string

// The causes.
const (
	Denied        Cause = "denied"         // permission, of IAM or of a file
	Full          Cause = "full"           // the disk, or its quota
	Network       Cause = "network"        // no connection, or one that breaks
	NoCredentials Cause = "no_credentials" // nobody gives us any
	NotFound      Cause = "not_found"      // the table or the folder
	ReadOnly      Cause = "read_only"      // the disk
	Throttled     Cause = "throttled"
	TimedOut      Cause = "timed_out"   // no answer in maxStep, or a lock that another process keeps
	Unavailable   Cause = "unavailable" // the service says that it is its own fault
	Unreadable    Cause = "unreadable"  // what is there is no record
	Unknown       Cause = "unknown"
)

// Causes are all of them.
var Causes = []Cause{Denied, Full, Network, NoCredentials, NotFound, ReadOnly, Throttled, TimedOut, Unavailable, Unreadable, Unknown}

// Because says what an error of a store is caused by, where CauseOf cannot know.
func Because(c Cause, err error) error { return because{c, err} }

type because struct {
	cause Cause
	error
}

func (b because) Unwrap() error { return b.error }

// CauseOf names the cause of a store's error.
func CauseOf(err error) Cause {
	var said because
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case errors.As(err, &said):
		return said.cause
	case errors.Is(err, syscall.EROFS):
		return ReadOnly
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Full
	case errors.Is(err, fs.ErrPermission):
		return Denied
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	default:
		return Unknown
	}
}

// refused tells whether a store has certainly not done what failed with err.
func refused(err error) bool {
	switch CauseOf(err) {
	case Denied, NoCredentials, NotFound, Throttled:
		return true
	}
	return false
}

// A Health says how a process fares with the store of its lease.
type Health struct {
	Age    time.Duration    // since the store last answered
	Why    string           // what is wrong since then; empty: nothing
	Cause  Cause            // of Why
	Errors map[Cause]uint64 // since the process began
}

// answers are what the store has said so far.
type answers struct {
	last   time.Time
	err    error
	errors map[Cause]uint64
}

func (a *answers) note(now time.Time, err error) {
	if a.err = err; err == nil {
		a.last = now
		return
	}
	a.errors[CauseOf(err)]++
}

func (a *answers) health(now time.Time) Health {
	h := Health{Age: now.Sub(a.last), Errors: maps.Clone(a.errors)}
	switch {
	case a.err != nil:
		h.Why, h.Cause = a.err.Error(), CauseOf(a.err)
	case h.Age > Duration:
		h.Why, h.Cause = "lease: no answer yet", TimedOut // a file system may hang for ever
	}
	return h
}
