// Package lease decides which of several control planes leads. A record in a store says which one does, and in which term. A
// Candidate is the state machine that reads and changes the record, and an Elector runs a Candidate. Stores are in the packages
// below.
//
// Each process trusts only its own clock. The leader renews the record each second. If a process has not seen the record change
// for a whole Duration, the record is free. Its holder, which began to count earlier, has stopped leading by then. A store only
// elects. An older leader is harmless because relays obey the highest term that they have seen. So a leader that cannot reach its
// store goes on leading as long as all relays say that its term is the highest.
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
	Holder  string   `json:"holder,omitempty"`  // who leads; empty: nobody
	Address string   `json:"address,omitempty"` // where the holder is, for people
	Relays  []string `json:"relays,omitempty"`  // that were attached last to a leader
	Alone   uint64   `json:"alone,omitempty"`   // how many leaders in turn gave way because no relay reached them
}

// MaxRelays bounds the relays in a record.
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
	Gone bool // the holder's process has certainly ended; false in stores that cannot know
}

// A Store keeps one record.
type Store interface {
	// Read returns the present record, never an older one.
	Read(ctx context.Context) (Found, error)
	// Swap replaces the record if its version still is seen. After a *ConflictError nothing has changed. After any other
	// error the record may have changed.
	Swap(ctx context.Context, seen uint64, next Record) error
}

// A ConflictError says that another process has changed the record.
type ConflictError struct{ Now Record }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the lease has changed: term %d is %q's", e.Now.Term, e.Now.Holder)
}

// Times of a lease. Duration is how long a leader may be silent before another one leads.
const (
	Duration = 5 * time.Second
	Renew    = time.Second            // between two renewals
	Watch    = 500 * time.Millisecond // between two looks at another's record
	Retry    = 250 * time.Millisecond // after an error
)

// Recovery is how long a holder has for its next renewal when the store answers again, which it may have to find out by an attempt that
// takes maxStep. Without it a standby that looks sooner would take the record from a leader that has gone on without the store.
const Recovery = maxStep + 2*Retry

// Patience is how long a leader on another host than its relays goes on when none of them reaches it: they may reach a standby. Each
// leader that had to give way like this doubles it for the next one, up to MostPatience, because the relays themselves may be away.
const (
	Patience     = 12 * time.Second
	MostPatience = 16 * Patience
)
