// Package ledger computes the bill: what AWS would charge for the invocations that ran, from the billed milliseconds in their
// REPORT lines.
//
// The rules are Lambda's for on-demand functions. Each invocation that started is a request, whatever its outcome; one that
// was throttled or refused is none. Its duration is billed by the millisecond, rounded up once, together with the init
// phase before it, for the memory that the function has. Not billed are the init of provisioned environments, and an init
// that failed (its second try is a part of the invocation's duration). The standing price of provisioned concurrency and the
// free tier are left out.
package ledger

import (
	"sync"
	"time"
)

// A Front is the way by which an invocation came.
type Front string

// The fronts.
const (
	Invoke Front = "invoke" // the Invoke API
	Direct Front = "direct" // one HTTP request, one invocation
)

// An Architecture decides the price of a GB-second.
type Architecture string

// The architectures.
const (
	X86 Architecture = "x86_64"
	ARM Architecture = "arm64"
)

// Prices are in dollars.
type Prices struct {
	MillionRequests float64
	GBSecondX86     float64
	GBSecondARM     float64
	ManagedRequests float64 // a million, on Managed Instances
	ManagedFee      float64 // for each dollar of an EC2 instance
}

func (p Prices) gbSecond(a Architecture) float64 {
	if a == ARM {
		return p.GBSecondARM
	}
	return p.GBSecondX86
}

// A Ledger holds the accounts of all functions.
type Ledger struct {
	prices Prices

	mu    sync.Mutex
	books []*Book
}

// New returns an empty ledger.
func New(prices Prices) *Ledger { return &Ledger{prices: prices} }

// A Book is the account of one function. Its methods may be called from any goroutine.
type Book struct {
	ledger       *Ledger
	function     string
	architecture Architecture

	// Guarded by ledger.mu.
	memoryMB int // of the last invocation
	totals   map[Front]*totals
	hire     *hire // nil: no EC2 instances
}

// A hire is EC2 instances of Managed Instances, which are paid for by the second, busy or not.
type hire struct {
	since       time.Time // when the number became what it is
	instances   int
	hourDollars float64 // of one, without the fee
	used        time.Duration
}

// until is the time of all instances together.
func (h hire) until(now time.Time) time.Duration {
	return h.used + time.Duration(h.instances)*now.Sub(h.since)
}

// Hire says how many EC2 instances of that price the function has from now on. Its invocations then cost what requests on Managed
// Instances do, and their durations nothing.
func (b *Book) Hire(now time.Time, instances int, hourDollars float64) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	if b.hire == nil {
		b.hire = &hire{since: now}
	}
	b.hire.used, b.hire.since = b.hire.until(now), now
	b.hire.instances, b.hire.hourDollars = instances, hourDollars
}

// totals are whole numbers, so that their sums are exact.
type totals struct{ requests, billedMs, initMs, billedMBMs int64 }

// Open adds the account of a function, once for each, that has that much memory at first.
func (l *Ledger) Open(function string, architecture Architecture, memoryMB int) *Book {
	b := &Book{
		ledger: l, function: function, architecture: architecture, memoryMB: memoryMB,
		totals: map[Front]*totals{Invoke: {}, Direct: {}},
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books = append(l.books, b)
	return b
}

// Add bills one invocation with that much memory. billed is what its REPORT line says, in whole milliseconds; init is the part of
// it that was the init phase.
func (b *Book) Add(front Front, memoryMB int, billed, init time.Duration) {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.memoryMB = memoryMB
	t := b.totals[front]
	t.requests++
	t.billedMs += billed.Milliseconds()
	t.billedMBMs += billed.Milliseconds() * int64(memoryMB)
	t.initMs += init.Milliseconds()
}
