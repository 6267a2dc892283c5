package faults

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// A Set holds the faults that are in force. Its methods may be called from any goroutine.
type Set struct {
	// Static after NewSet.
	changed func()

	mu     sync.Mutex
	random *rand.Rand
	closed bool
	last   int // id given out
	faults []*inForce
}

// inForce is a fault with its history.
type inForce struct {
	Fault
	id      int
	chances int
	struck  int
	expiry  *time.Timer // nil: it has none
}

// A Status is a fault in force, or one whose times are used up.
type Status struct {
	ID     int   `json:"id"`
	Fault  Fault `json:"fault"`
	Struck int   `json:"struck"` // how often so far; not counted for network faults
}

// NewSet returns an empty set. The same seed gives the same sequence of decisions for the same sequence of questions.
// changed is called, without any lock, after the set has changed.
func NewSet(seed uint64, changed func()) *Set {
	return &Set{random: rand.New(rand.NewPCG(seed, seed)), changed: changed}
}

// Replace puts valid faults into force, and ends all others.
func (s *Set) Replace(faults ...Fault) {
	s.mu.Lock()
	s.clearLocked()
	for _, f := range faults {
		s.addLocked(f)
	}
	s.mu.Unlock()
	s.changed()
}

// Add puts one more valid fault into force, behind the others, and returns its id.
func (s *Set) Add(f Fault) (id int) {
	s.mu.Lock()
	id = s.addLocked(f)
	s.mu.Unlock()
	s.changed()
	return id
}

func (s *Set) addLocked(f Fault) int {
	s.last++
	a := &inForce{Fault: f, id: s.last}
	if f.For > 0 && !s.closed {
		a.expiry = time.AfterFunc(f.For, func() { s.Remove(a.id) })
	}
	s.faults = append(s.faults, a)
	return a.id
}

// Remove ends a fault. It is false if there is none with this id.
func (s *Set) Remove(id int) bool {
	s.mu.Lock()
	at := slices.IndexFunc(s.faults, func(a *inForce) bool { return a.id == id })
	if at >= 0 {
		s.faults[at].end()
		s.faults = slices.Delete(s.faults, at, at+1)
	}
	s.mu.Unlock()
	if at >= 0 {
		s.changed()
	}
	return at >= 0
}

// List returns all faults, in the order in which they were set.
func (s *Set) List() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.faults))
	for _, a := range s.faults {
		all = append(all, Status{ID: a.id, Fault: a.Fault, Struck: a.struck})
	}
	return all
}

// Close ends all faults; those that are set later do not expire.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.clearLocked()
}

func (s *Set) clearLocked() {
	for _, a := range s.faults {
		a.end()
	}
	s.faults = nil
}

func (a *inForce) end() {
	if a.expiry != nil {
		a.expiry.Stop()
	}
}

// strikes decides about one chance, and counts it.
func (a *inForce) strikes(random *rand.Rand) bool {
	if a.Times > 0 && a.struck >= a.Times {
		return false
	}
	a.chances++
	if a.Every > 1 && a.chances%a.Every != 0 {
		return false
	}
	if a.Probability > 0 && random.Float64() >= a.Probability {
		return false
	}
	a.struck++
	return true
}
