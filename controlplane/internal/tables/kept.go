package tables

import (
	"cmp"
	"time"
)

// What a relay knows may outlive its process. What has changed is written down before anything is said of it, and the next
// process begins with that: it lets those peers in whom the one before would have let in, whether a leader is there that knows of
// them or not.

// A Kept is an instance as it was written down.
type Kept struct {
	Instance
	Expires Micros        `json:"expires_us,omitempty"` // until it has ended if its peer has not dialled by then; it may have passed
	Ago     time.Duration `json:"-"`                    // since it was written down
}

// Changes are what is to be written down: instances that are new or have changed in more than their load, and those of which
// nothing is kept any more.
type Changes struct {
	Kept []Kept
	Gone []string
}

// Remember takes in what the relay's process before has written down, and returns what is to be done first. It is called before
// anything else. From then on there are Changes to write down.
func (k *Keeper) Remember(now time.Time, before []Kept) (commands []Command) {
	k.remembers = true
	for _, b := range before {
		if k.records[b.ID] == nil && len(k.records) < MaxInstances && !b.over() {
			r := remembered(now, b)
			k.records[b.ID] = r
			commands = append(commands, r.resume(now)...)
		}
	}
	return commands
}

// over tells whether the instance must have ended long ago: its invocation has, or its peer did not dial in time. A relay that was away
// for a night would else tell the next leader of invocations that took the night, which would be billed.
func (b Kept) over() bool {
	last := cmp.Or(b.Left, max(b.Expires, b.StartBy))
	return last > 0 && b.Ago > last.Duration()+longOver
}

// longOver is longer than a relay that is started again is away, and longer than peers try to dial it.
const longOver = time.Minute

// remembered is an instance at the relay's new process: its peer has not dialled that one yet.
func remembered(now time.Time, b Kept) *record {
	written := now.Add(-b.Ago)
	r := &record{Instance: inherited(b.Instance), expected: written.Add(-b.Age.Duration()), startBy: from(written, b.StartBy)}
	r.Environment, r.Cold, r.Drain = b.Environment, b.Cold, b.Drain
	r.expires, r.deadline = later(from(written, b.Expires), now.Add(Redial)), from(written, b.Left)
	if b.UpFor > 0 {
		r.up = written.Add(-b.UpFor.Duration())
	}
	if b.End != nil {
		r.Phase, r.End, r.ended = PhaseEnded, b.End, written
	}
	return r
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// resume makes the commands that let the instance's peer dial again.
func (r *record) resume(now time.Time) []Command {
	if r.End != nil {
		return nil
	}
	e := Expectation{Instance: r.ID, Function: r.Function, Endpoint: r.Endpoint, Dollars: r.Dollars, Memo: r.Memo, Expires: until(now, r.expires)}
	if r.up.IsZero() {
		e.StartBy = until(now, r.startBy)
	}
	commands := []Command{Expect{e}}
	if r.Drain != "" {
		commands = append(commands, Drain{r.ID, r.Drain})
	}
	return commands
}

// Changes returns what is to be written down since the last time.
func (k *Keeper) Changes(now time.Time) (c Changes) {
	for _, id := range k.unwritten {
		r := k.records[id]
		if r == nil {
			c.Gone = append(c.Gone, id)
			continue
		}
		r.unwritten = false
		c.Kept = append(c.Kept, r.kept(now))
	}
	k.unwritten = k.unwritten[:0]
	return c
}

// Kept is all that would have to be written down if nothing were.
func (k *Keeper) Kept(now time.Time) (all []Kept) {
	for _, r := range k.records {
		all = append(all, r.kept(now))
	}
	return all
}

func (r *record) kept(now time.Time) Kept {
	i := r.at(now)
	i.Load = nil
	out := Kept{Instance: i}
	if r.up.IsZero() {
		out.Expires = until(now, r.expires)
	}
	return out
}

// write has an instance written down.
func (k *Keeper) write(r *record) {
	if k.remembers && !r.unwritten {
		r.unwritten = true
		k.unwritten = append(k.unwritten, r.ID)
	}
}

// DecodeKept reads an instance that was written down.
func DecodeKept(data []byte) (Kept, error) { return decode[Kept]("kept", data) }

// Validate reports everything that is wrong with k.
func (k Kept) Validate() error { return k.validate() }
