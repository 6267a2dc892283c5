package ledger

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// A Statement is the bill so far.
type Statement struct {
	Functions []Account `json:"functions"` // in the order of the configuration
	Dollars   float64   `json:"dollars"`
}

// An Account is the bill of one function.
type Account struct {
	Function     string       `json:"function"`
	Architecture Architecture `json:"architecture"`
	MemoryMB     int          `json:"memory_mb"` // of the last invocation
	Invoke       Entry        `json:"invoke"`    // by the Invoke API
	Direct       Entry        `json:"direct"`    // by the direct front end
	Managed      *Hired       `json:"managed,omitempty"`
	Total        Entry        `json:"total"` // EC2 instances included
}

// Hired is what EC2 instances of Managed Instances have cost so far.
type Hired struct {
	Instances       int     `json:"instances"` // now
	InstanceSeconds float64 `json:"instance_seconds"`
	InstanceDollars float64 `json:"instance_dollars"`
	FeeDollars      float64 `json:"fee_dollars"`
}

// Dollars is the sum.
func (h Hired) Dollars() float64 { return h.InstanceDollars + h.FeeDollars }

// An Entry sums invocations.
type Entry struct {
	Requests        int64   `json:"requests"`
	BilledMs        int64   `json:"billed_ms"` // the sum of the REPORT lines' billed durations
	InitMs          int64   `json:"init_ms"`   // about how much of BilledMs was init: whole milliseconds of each
	GBSeconds       float64 `json:"gb_seconds"`
	RequestDollars  float64 `json:"request_dollars"`
	DurationDollars float64 `json:"duration_dollars"`
	Dollars         float64 `json:"dollars"`
}

// Statement returns the bill so far: invocations that have ended.
func (l *Ledger) Statement() Statement {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Statement{Functions: []Account{}}
	for _, b := range l.books {
		a := b.accountLocked()
		s.Functions = append(s.Functions, a)
		s.Dollars += a.Total.Dollars
	}
	return s
}

func (b *Book) accountLocked() Account {
	var sum totals
	for _, t := range b.totals {
		sum.requests += t.requests
		sum.billedMs += t.billedMs
		sum.initMs += t.initMs
		sum.billedMBMs += t.billedMBMs
	}
	a := Account{
		Function: b.function, Architecture: b.architecture, MemoryMB: b.memoryMB,
		Invoke: b.price(*b.totals[Invoke]), Direct: b.price(*b.totals[Direct]), Total: b.price(sum),
	}
	if b.hire != nil {
		a.Managed = b.hired(time.Now())
		a.Total.Dollars += a.Managed.Dollars()
	}
	return a
}

func (b *Book) hired(now time.Time) *Hired {
	seconds := b.hire.until(now).Seconds()
	dollars := seconds / 3600 * b.hire.hourDollars
	return &Hired{
		Instances: b.hire.instances, InstanceSeconds: seconds,
		InstanceDollars: dollars, FeeDollars: dollars * b.ledger.prices.ManagedFee,
	}
}

func (b *Book) price(t totals) Entry {
	e := Entry{Requests: t.requests, BilledMs: t.billedMs, InitMs: t.initMs}
	e.GBSeconds = float64(t.billedMBMs) / 1000 / 1024
	million := b.ledger.prices.MillionRequests
	if b.hire != nil {
		million = b.ledger.prices.ManagedRequests
	}
	e.RequestDollars = float64(t.requests) / 1e6 * million
	e.DurationDollars = e.GBSeconds * b.ledger.prices.gbSecond(b.architecture)
	e.Dollars = e.RequestDollars + e.DurationDollars
	return e
}

// Print writes the bill as a table: a line per function and front that was used, and the sum.
func (s Statement) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) { _, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t\n", cells...) } // errors come with Flush
	row("function", "front", "requests", "billed ms", "GB-s", "dollars")
	for _, a := range s.Functions {
		for _, line := range []struct {
			front Front
			Entry
		}{{Invoke, a.Invoke}, {Direct, a.Direct}} {
			if line.Requests > 0 {
				row(a.Function, line.front, fmt.Sprint(line.Requests), fmt.Sprint(line.BilledMs),
					fmt.Sprintf("%.3f", line.GBSeconds), fmt.Sprintf("%.8f", line.Dollars))
			}
		}
		if a.Managed != nil {
			row(a.Function, "ec2", "", fmt.Sprintf("%.0f", 1000*a.Managed.InstanceSeconds), "", fmt.Sprintf("%.8f", a.Managed.Dollars()))
		}
	}
	row("total", "", "", "", "", fmt.Sprintf("%.8f", s.Dollars))
	return table.Flush()
}
