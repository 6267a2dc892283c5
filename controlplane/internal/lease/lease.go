// Package lease decides which of several control planes leads. A record in a store says who does, in which term; a Candidate
// is the state machine that reads and changes it, and an Elector runs one. Stores are in the packages below.
//
// No clock but each process's own is trusted. Whoever leads renews the record each second. A record that has not changed for a
// whole Duration, as this process saw it, is nobody's any more; its holder, whose own count began before, has stopped by then.
// Stores only elect. What makes an older leader harmless are the relays, which obey the highest term that they have seen; so a
// leader that cannot reach its store goes on for as long as they all say that its term is the highest.
package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Record is what a store keeps. The zero Record is that of a store that was never written to.
type Record struct {
	Version uint64   `json:"version"`           // rises with every change
	Term    uint64   `json:"term"`              // of the last leader
	Holder  string   `json:"holder,omitempty"`  // empty: it has ended in order
	Address string   `json:"address,omitempty"` // where the holder is, for people
	Relays  []string `json:"relays,omitempty"`  // that the last leader had attached
}

// MaxRelays bounds the relays that are read of a record.
const MaxRelays = 1024

// Validate reports what is wrong with r.
func (r Record) Validate() error {
	if len(r.Relays) > MaxRelays {
		return fmt.Errorf("relays: has %d, at most %d", len(r.Relays), MaxRelays)
	}
	if r.Holder != "" && r.Term == 0 {
		return errors.New("term: required with a holder")
	}
	return nil
}

// A Found is a record as it was read.
type Found struct {
	Record
	Gone bool // the holder surely lives no more; stores that cannot know say false
}

// A Store keeps one record.
type Store interface {
	// Read returns the record as it is now, no older one.
	Read(ctx context.Context) (Found, error)
	// Swap replaces the record if its version is still seen. After a *ConflictError nothing was changed; after any other error it
	// may have been.
	Swap(ctx context.Context, seen uint64, next Record) error
}

// A ConflictError says that somebody else has changed the record.
type ConflictError struct{ Now Record }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the lease has changed: term %d is %q's", e.Now.Term, e.Now.Holder)
}

// Times of a lease. Duration is how long a leader may be away before another one leads.
const (
	Duration = 5 * time.Second
	Renew    = time.Second            // between two renewals
	Watch    = 500 * time.Millisecond // between two looks at somebody else's record
	Retry    = 250 * time.Millisecond // after an error
)
