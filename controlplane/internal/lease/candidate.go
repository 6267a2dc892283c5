package lease

import (
	"errors"
	"slices"
	"time"
)

// A Step is what the owner of a candidate must do next.
type Step struct {
	Kind StepKind
	At   time.Time // StepWait: when to ask for the next step
	Seen uint64    // StepSwap
	Next Record    // StepSwap
}

// A StepKind says what a Step is.
type StepKind int

// The kinds.
const (
	StepWait StepKind = iota
	StepRead
	StepSwap
)

// A Candidate is one process's part in the election. It is pure: its owner does what Step says, one step at a time, and reports
// how it went.
type Candidate struct {
	me, address string
	enters      bool // it wants to lead, or to keep leading

	known   Record
	read    bool      // known was read or written
	gone    bool      // the process of known's holder has ended
	since   time.Time // when known's version was first seen
	blind   bool      // the store did not answer the last read
	sighted time.Time // when it first answered again since then; zero: it always has
	next    time.Time // when the next step is due
	trying  Record    // the record that was last swapped in, perhaps; version 0: none was
	tried   time.Time // when that swap began
	first   time.Time // when the first swap to that version began, which may be the one that the store has carried out
	until   time.Time // when its own lease expires
	term    uint64    // the term that it leads or has last led
	over    bool      // that term is over
	highest uint64    // the highest term heard of

	remote    bool          // relays are on other hosts
	deserted  time.Time     // since when no relay has reached this leader; zero: one does, or none is known of
	witness   bool          // known follows a record of another holder
	watch     time.Duration // between two looks at another's record
	attached  []string
	confirmed time.Time // until then none of the attached relays had seen a higher term
}

// NewCandidate returns a candidate that knows nothing yet. me is unique to this process, also over restarts.
func NewCandidate(me, address string) *Candidate {
	return &Candidate{me: me, address: address, enters: true, watch: Watch}
}

// Remote says that relays are on other hosts. If all of them are cut off from this leader, it gives way to a standby.
func (c *Candidate) Remote() { c.remote = true }

// Step says what to do now, or when to ask again.
func (c *Candidate) Step(now time.Time) Step {
	switch {
	case now.Before(c.next):
		return Step{At: c.next}
	case !c.read:
		return Step{Kind: StepRead}
	case c.holds():
		return c.renew(now)
	case !c.enters:
		return Step{At: now.Add(c.watch)}
	case c.free(now):
		next := c.known
		next.Term, next.Holder, next.Address = max(next.Term, c.highest)+1, c.me, c.address
		return c.swap(now, next)
	default:
		return Step{Kind: StepRead}
	}
}

// holds tells whether the record is this candidate's, as far as it knows.
func (c *Candidate) holds() bool { return c.known.Holder == c.me }

// free tells whether this process may take the record. If a leader gave it back because no relay reached it, a standby goes first: it
// has seen that happen, and the leader that comes back has not.
func (c *Candidate) free(now time.Time) bool {
	switch held := now.Sub(c.since); {
	case c.known.Holder != "":
		return c.gone || held >= Duration && now.Sub(c.sighted) >= Recovery
	case c.known.Alone > 0 && !c.witness:
		return held >= 4*c.watch
	default:
		return true
	}
}

// isDeserted tells whether no relay has reached this leader for longer than it waits for one.
func (c *Candidate) isDeserted(now time.Time) bool {
	return c.remote && !c.deserted.IsZero() && now.Sub(c.deserted) >= min(Patience<<min(c.known.Alone, 10), MostPatience)
}

// renew writes the record again. If its term is over, it gives the record back.
func (c *Candidate) renew(now time.Time) Step {
	next := c.known
	if len(c.attached) > 0 {
		next.Relays, next.Alone = c.attached, 0
	}
	if c.isDeserted(now) {
		c.over = true
		next.Alone++
	}
	if !c.enters || c.over {
		next.Holder, next.Address = "", ""
		next.Term = max(next.Term, c.highest) // if a record was lost, relays obey a higher term than the present one's
	}
	return c.swap(now, next)
}

func (c *Candidate) swap(now time.Time, next Record) Step {
	if next.Version = c.known.Version + 1; c.known.Version == 0 {
		next.Version = uint64(now.UnixMicro()) // the record may have been lost: who knows an older one must not take this for it
	}
	if next.Version != c.trying.Version {
		c.first = now
	}
	c.trying, c.tried = next, now
	return Step{Kind: StepSwap, Seen: c.known.Version, Next: next}
}

// Read reports how a StepRead went.
func (c *Candidate) Read(now time.Time, found Found, err error) {
	if err != nil {
		c.blind, c.next = true, now.Add(Retry)
		return
	}
	c.see(now, found.Record)
	if c.unsighted() {
		c.sighted = now
	}
	c.blind = false
	c.gone = found.Gone && !c.holds()
	c.next = now.Add(c.watch)
	if c.wouldSwap(now) {
		c.next = now
	}
}

// wouldSwap tells whether what was read is followed by a swap at once.
func (c *Candidate) wouldSwap(now time.Time) bool { return c.holds() || c.enters && c.free(now) }

// Swapped reports how a StepSwap went.
func (c *Candidate) Swapped(now time.Time, err error) {
	var conflict *ConflictError
	switch {
	case err == nil:
		c.first = c.tried
		c.see(now, c.trying)
		c.next = c.tried.Add(Renew)
		if !c.holds() {
			c.next = now.Add(c.watch) // another process may lead now
		}
	case errors.As(err, &conflict):
		c.see(now, conflict.Now)
		c.gone, c.next = false, now.Add(c.watch)
		if c.holds() {
			c.next = now
		}
	case refused(err) && (c.holds() || !c.unsighted()):
		c.next = now.Add(Retry) // by another swap at once: a read before it may be refused as well
	default:
		c.read, c.next = false, now.Add(Retry)
	}
}

// unsighted tells whether the store has not answered a read since one failed. A leader may have gone on without it, and goes first when it
// is back.
func (c *Candidate) unsighted() bool { return c.blind && c.sighted.IsZero() }

// see sets the record that the store is known to have.
func (c *Candidate) see(now time.Time, r Record) {
	if !c.read && c.since.IsZero() || r.Version != c.known.Version {
		c.since, c.gone, c.sighted = now, false, time.Time{}
		c.witness = c.known.Holder != "" && !c.holds()
	}
	mine := c.trying.Version == r.Version && c.trying.Holder == r.Holder && r.Holder == c.me
	if len(r.Relays) == 0 {
		r.Relays = c.known.Relays // the record was lost, or a leader of an earlier release wrote it that had none
	}
	c.known, c.read, c.highest = r, true, max(c.highest, r.Term)
	if mine {
		c.won(r)
	}
	if r.Term > c.term || r.Holder != c.me {
		c.over = c.term > 0
	}
}

// won says that the store has the record that was tried.
func (c *Candidate) won(r Record) {
	if r.Term > c.term {
		c.term, c.over, c.attached, c.confirmed, c.deserted = r.Term, false, nil, time.Time{}, time.Time{}
		if len(r.Relays) > 0 || r.Alone > 0 {
			c.deserted = c.tried
		}
	}
	c.until = c.first.Add(Duration)
}

// Relays says which relays are attached to this leader. Until the moment confirmed none of them had seen a higher term.
func (c *Candidate) Relays(now time.Time, attached []string, confirmed time.Time) {
	if len(attached) > 0 {
		c.deserted = time.Time{}
	} else if len(c.attached) > 0 {
		c.deserted = now
	}
	if c.confirmed = confirmed; c.attached == nil || !slices.Equal(c.attached, attached) {
		c.attached = append([]string{}, attached...)
		slices.Sort(c.attached)
	}
	if c.read && c.holds() && !c.over && c.unnamed() {
		c.next = time.Time{} // once the record names them, this leader can go on without its store
	}
}

// unnamed tells whether a relay is attached that the record does not name.
func (c *Candidate) unnamed() bool {
	return slices.ContainsFunc(c.attached, func(relay string) bool { return !slices.Contains(c.known.Relays, relay) })
}

// Superseded says that a relay has seen a higher term.
func (c *Candidate) Superseded(term uint64) {
	c.highest = max(c.highest, term)
	if term > c.term {
		c.over = c.term > 0
	}
}

// End says that this process does not lead any more, whatever its lease says. It may lead again in another term.
func (c *Candidate) End() { c.over = c.term > 0 }

// Leave says that this process does not want to lead any more. If it holds the record, the next step gives it back.
func (c *Candidate) Leave(now time.Time) {
	c.enters, c.next = false, now
}

// Left tells whether the record need not be given back any more.
func (c *Candidate) Left() bool { return !c.enters && c.read && !c.holds() }

// A Standing says whether a candidate leads.
type Standing struct {
	Leads   bool
	Term    uint64
	Relays  []string // the relays that the record names
	Address string   // of who leads as last read, for people
}

// Standing says whether the candidate leads now.
func (c *Candidate) Standing(now time.Time) Standing {
	return Standing{Leads: c.leads(now), Term: c.term, Relays: c.known.Relays, Address: c.known.Address}
}

// Until is the time until which it leads if it hears nothing more.
func (c *Candidate) Until() time.Time {
	if last := c.confirmed.Add(Duration / 2); c.all() && last.After(c.until) {
		return last
	}
	return c.until
}

func (c *Candidate) leads(now time.Time) bool { return c.term > 0 && !c.over && now.Before(c.Until()) }

// all tells whether all relays that the record names are attached.
func (c *Candidate) all() bool {
	for _, relay := range c.known.Relays {
		if !slices.Contains(c.attached, relay) {
			return false
		}
	}
	return len(c.known.Relays) > 0
}
