// Package bill counts what a function's invocations cost, and what plain Lambda would have cost for the same requests. It
// is pure: time is an argument, nothing blocks, nothing is safe for concurrent use.
//
// What has ended is counted as Lambda reports it, to the millisecond; what runs is estimated from the time since its start.
package bill

import "time"

// A Usage is what one invocation used: all but Up is from Lambda's REPORT line, and zero where there was none.
type Usage struct {
	Billed   time.Duration // init included, where Lambda bills that
	Init     time.Duration
	MemoryMB int // configured

	Up time.Duration // from its start until its instance was up, as we saw it; 0: it never was
}

// initPhase is the shortest init after which more may follow: Lambda gives a function 10 s before its first invocation,
// and lambdapeer takes that invocation after 9 s, in which the app goes on starting.
const initPhase = 8500 * time.Millisecond

// wholeInit is how long the init took, with what async init moved into the invocation. Lambda's report has no line for
// that part: it is in the time until the instance was up, with the moment that Lambda needed to find a place for it.
func (u Usage) wholeInit() time.Duration {
	if u.Init < initPhase {
		return u.Init
	}
	return max(u.Init, min(u.Up, u.Billed))
}

// AssumedMemoryMB counts for a function whose memory is neither configured nor reported yet: what one vCPU comes with.
const AssumedMemoryMB = 1769

// Rates are prices in dollars. With the zero value everything is free.
type Rates struct {
	Request  float64 // one invocation
	GBSecond float64 // 1024 MB for a second
}

// PerHour is what one instance costs an hour.
func (r Rates) PerHour(memoryMB int) float64 { return r.GBSecond * gb(memoryMB) * 3600 }

func (r Rates) of(invocations uint64, gbSeconds float64) float64 {
	return r.Request*float64(invocations) + r.GBSecond*gbSeconds
}

// An Account is the bill of one function.
type Account struct {
	rates  Rates
	memory int // MB; 0: not known yet

	invocations uint64 // ended, and billed
	estimated   uint64 // of those, the ones without a report of Lambda's
	billed      total
	gbSeconds   float64
	inits       uint64
	init        total // of all inits, what of them ran inside invocations included

	running level // invocations
	plain   plain

	before    Note // learned
	inherited struct {
		n   int
		age total // when they were inherited
	}
}

// NewAccount returns an empty account. memoryMB is the function's memory as configured; with 0 it is learned from reports.
func NewAccount(r Rates, memoryMB int) *Account {
	return &Account{rates: r, memory: memoryMB, plain: newPlain()}
}

// Configure says what things cost from now on, what has been used before included, and the function's memory as configured; 0: as
// it is known.
func (a *Account) Configure(r Rates, memoryMB int) {
	a.rates = r
	if memoryMB > 0 {
		a.memory = memoryMB
	}
}

// MemoryMB is the function's memory: of the latest report, or as configured, or else assumed.
func (a *Account) MemoryMB() int {
	if a.memory == 0 {
		return AssumedMemoryMB
	}
	return a.memory
}

// Started says that an invocation was made.
func (a *Account) Started(now time.Time) { a.running.begin(now) }

// Refused says that an invocation, started then, never ran: it costs nothing.
func (a *Account) Refused(now, started time.Time) { a.running.end(now, started) }

// Ended says that an invocation, started then, is over. Without a report of Lambda's, the time in between is billed.
func (a *Account) Ended(now, started time.Time, u Usage) {
	a.running.end(now, started)
	a.invocations++
	if u.MemoryMB > 0 {
		a.memory = u.MemoryMB
	}
	if u.Billed == 0 {
		a.estimated++
		u.Billed = wholeMillis(now.Sub(started))
	}
	if u.Init > 0 {
		a.inits++
		a.init.add(u.wholeInit(), 1)
	}
	a.billed.add(u.Billed, 1)
	a.gbSeconds += u.Billed.Seconds() * gb(a.MemoryMB())
}

// Leased says that a request got its slot.
func (a *Account) Leased(now time.Time) { a.plain.began(now) }

// Released says that a request, leased then, is over.
func (a *Account) Released(now, leased time.Time) { a.plain.ended(now, leased) }

// Withdrawn says that a request, leased then, was not served there. It comes back, and costs nothing until then.
func (a *Account) Withdrawn(now, leased time.Time) { a.plain.withdrawn(now, leased) }

// A Statement is an account at one moment.
type Statement struct {
	Invocations uint64  // ended and billed
	Estimated   uint64  // of those, the ones without a report
	Billed      Seconds // of ended invocations
	GBSeconds   float64 // of ended invocations
	MemoryMB    int

	Running          int     // invocations under way
	RunningGBSeconds float64 // of those, so far
	Dollars          float64 // so far, running invocations included
	DollarsPerHour   float64 // while as many run as now

	Plain Plain
}

// Saved is what plain Lambda would have cost more; negative if it would have cost less.
func (s Statement) Saved() float64 { return s.Plain.Dollars - s.Dollars }

// Statement returns the account as of now.
func (a *Account) Statement(now time.Time) Statement {
	running := a.running.ages(now).sum() * gb(a.MemoryMB())
	return Statement{
		Invocations: a.invocations, Estimated: a.estimated, Billed: a.billed.sum(), GBSeconds: a.gbSeconds,
		MemoryMB: a.MemoryMB(),
		Running:  a.running.n, RunningGBSeconds: running,
		Dollars:        a.rates.of(a.invocations+uint64(a.running.n), a.gbSeconds+running),
		DollarsPerHour: a.rates.PerHour(a.MemoryMB()) * float64(a.running.n),
		Plain:          a.plain.statement(now, a),
	}
}

// Own is the statement without what others have counted: the sums that were learned, and what inherited invocations had used when they
// were. So the own statements of all leaders add up to the bill.
func (a *Account) Own(now time.Time) Statement {
	s, b := a.Statement(now), a.before
	s.Invocations -= b.Invocations
	s.Estimated -= b.Estimated
	s.Billed -= b.Billed
	s.GBSeconds -= b.GBSeconds
	s.RunningGBSeconds -= a.inherited.age.sum() * gb(a.MemoryMB())
	s.Dollars = a.rates.of(s.Invocations+uint64(s.Running), s.GBSeconds+s.RunningGBSeconds) - a.rates.of(uint64(a.inherited.n), 0)
	s.Plain = s.Plain.less(b, a)
	return s
}

// gb is what Lambda calls a gigabyte.
func gb(memoryMB int) float64 { return float64(memoryMB) / 1024 }

// wholeMillis rounds up, as Lambda bills.
func wholeMillis(d time.Duration) time.Duration {
	return (max(d, 0) + time.Millisecond - 1).Truncate(time.Millisecond)
}
