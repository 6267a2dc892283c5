// Package account limits the concurrency of all functions of an AWS account: a function with a reservation has exactly that, and
// the others share the rest.
package account

import (
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// MinUnreserved is what reservations must leave to functions without one, as in Lambda.
const MinUnreserved = 100

// An Account counts the invocations in progress of all functions.
type Account struct {
	limit int

	mu      sync.Mutex
	members []*Member
}

// New returns an account without functions, whose invocations in progress are limit at most.
func New(limit int) *Account { return &Account{limit: limit} }

// A Member is one function's part in the account. Its methods may be called from any goroutine.
type Member struct {
	account *Account

	// Guarded by account.mu.
	reserved *int
	busy     int
}

// Join adds a function. reserved is nil for a function that shares with the others; zero throttles every invocation.
func (a *Account) Join(reserved *int) *Member {
	m := &Member{account: a, reserved: reserved}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members = append(a.members, m)
	return m
}

// Limit is the account's.
func (a *Account) Limit() int { return a.limit }

// Unreserved is what functions without a reservation share.
func (a *Account) Unreserved() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unreservedLocked(nil)
}

// unreservedLocked leaves out one member's reservation.
func (a *Account) unreservedLocked(without *Member) int {
	left := a.limit
	for _, m := range a.members {
		if m != without && m.reserved != nil {
			left -= *m.reserved
		}
	}
	return left
}

func (a *Account) sharedLocked() (busy int) {
	for _, m := range a.members {
		if m.reserved == nil {
			busy += m.busy
		}
	}
	return busy
}

// TryAcquire takes room for one invocation, to be given back with Release, or says why there is none.
func (m *Member) TryAcquire() *serviceerror.Error {
	a := m.account
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case m.reserved != nil && m.busy >= *m.reserved:
		return serviceerror.Throttled(serviceerror.ReasonFunctionLimit)
	case m.reserved == nil && a.sharedLocked() >= a.unreservedLocked(nil):
		return serviceerror.Throttled(serviceerror.ReasonAccountLimit)
	}
	m.busy++
	return nil
}

// Release gives the room of one invocation back.
func (m *Member) Release() {
	m.account.mu.Lock()
	defer m.account.mu.Unlock()
	m.busy--
}

// Reserve changes the reservation; nil removes it. Invocations in progress continue. It fails if it would leave too little for the
// other functions; a reservation of zero takes nothing from them.
func (m *Member) Reserve(n *int) *serviceerror.Error {
	a := m.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if n != nil && (*n < 0 || *n > 0 && a.unreservedLocked(m)-*n < MinUnreserved) {
		return serviceerror.New(serviceerror.TypeInvalidValue,
			"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", MinUnreserved)
	}
	m.reserved = n
	return nil
}

// Reserved is the reservation, nil if there is none.
func (m *Member) Reserved() *int {
	m.account.mu.Lock()
	defer m.account.mu.Unlock()
	return m.reserved
}
