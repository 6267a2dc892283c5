package dispatch

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Dispatcher may follow another that has died or handed over. Relays tell it which instances there are (Inherited, and what
// has happened to each), and what its predecessor has written down (Noted). Only after Start does it decide anything.

// A memo is what the leader that starts an instance writes down about it, beside what its relay sees.
type memo struct {
	Pin   string `json:"pin,omitempty"`   // the version that it is started as
	Slots int    `json:"slots,omitempty"` // that it had when it was started, where that is learned
}

func memoOf(i *instance) memo { return memo{Pin: i.core.Pin(), Slots: i.learned} }

func (m memo) text() []byte {
	text, _ := json.Marshal(m) // of words and numbers: it cannot fail
	return text
}

// Inherited takes in an instance that a former leader has announced. One of a function that the configuration does not have
// finishes what it has in flight, and so does the function then: another configuration is as if it had been loaded. One that there
// is no place for is told to finish at once.
func (d *Dispatcher) Inherited(in relays.Inheritance) {
	if d.instance(in.Instance) != nil {
		return // another relay has it too
	}
	f, err := d.stranger(in.Function)
	if err == nil {
		err = f.inherit(in)
	}
	if err == nil {
		if f.settings().leaving && d.decides() {
			f.vacate()
		}
		return
	}
	d.log.WithFields(logrus.Fields{"instance": in.Instance, "function": in.Function, "endpoint": in.Endpoint}).WithError(err).
		Warn("an instance of the control plane before is not taken over: it finishes")
	d.relay.Drain(in.Instance, wire.ReasonOperator)
}

func (f *function) inherit(in relays.Inheritance) error {
	index, err := indexIn(in.Endpoint, f.name)
	if err != nil {
		return err
	}
	var m memo
	_ = json.Unmarshal(in.Memo, &m) // of a later build, or none: the rest is known from the relay
	f.mu.Lock()
	defer f.mu.Unlock()
	at := now()
	core, err := f.pool.Inherit(at, f.estate(at, in, index, m))
	if err != nil {
		return err
	}
	i := f.know(in.Instance, core)
	i.environment, i.unanswered, i.isUp = in.Environment, true, in.UpFor > 0
	f.endpoints.list[index].known = in.UpFor > 0 // what serves Envoy has known long since
	f.proven = f.proven || in.UpFor > 0
	if !core.Adopted() {
		f.bill.Inherited(at, core.Started())
	}
	f.arm(at)
	f.log.WithFields(logrus.Fields{"instance": i.id, "age": in.Age.Round(time.Millisecond)}).Info("instance is taken over")
	return nil
}

func (f *function) estate(at time.Time, in relays.Inheritance, index int, m memo) pool.Estate {
	e := pool.Estate{
		Index: index, Started: at.Add(-in.Age), Cold: in.Cold, Environment: in.Environment, Pin: m.Pin, Version: m.Pin,
		Price: scaler.NewPrice(in.Dollars, f.settings().plan.rates.Request), Adopted: f.settings().provider == nil, Told: pool.Reason(in.Drain),
	}
	if f.d.caretaker {
		e.Slots = m.Slots
	}
	if in.UpFor > 0 {
		e.Took = max(in.Age-in.UpFor, 1)
	}
	return e
}

// indexIn is the number in an endpoint's name, "web/0007".
func indexIn(endpoint, function string) (int, error) {
	number, ours := strings.CutPrefix(endpoint, function+"/")
	index, err := strconv.Atoi(number)
	if !ours || err != nil || index < 0 || index > maxIndex {
		return 0, fmt.Errorf("%q is no endpoint of function %q", endpoint, function)
	}
	return index, nil
}

// maxIndex bounds what a relay can make the table of endpoints grow to.
const maxIndex = 99_999

// A note is what a function's leader writes down for the next one.
type note struct {
	Pool   pool.Note              `json:"pool"`
	Bill   bill.Note              `json:"bill"`
	Drains map[string]pool.Reason `json:"drains,omitempty"` // by instance: those that drain and were not told to finish yet
	Code   *provider.Routing      `json:"code,omitempty"`   // what all instances run; nil: not known
}

// noted is what a function has from the leader before.
type noted struct {
	learned bool
	drains  map[string]pool.Reason
}

// Noted takes in what the leader before has written down about a function. The first word counts; it comes before the function's
// instances.
func (d *Dispatcher) Noted(n relays.Note) {
	f := d.named(n.Function)
	if f == nil {
		return
	}
	var text note
	if err := json.Unmarshal(n.Text, &text); err != nil {
		f.log.WithError(err).Warn("what the control plane before has learned cannot be read, and is learned anew")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inherited.learned {
		return
	}
	f.inherited = noted{learned: true, drains: text.Drains}
	f.pool.Learn(now(), text.Pool, n.Age)
	f.bill.Learn(text.Bill)
	f.versions.learn(text.Code)
}

// WriteNotes tells relays what the next leader should know, of functions to which something has happened since the last time.
func (d *Dispatcher) WriteNotes() {
	for _, f := range d.list() {
		f.writeNote()
	}
}

// Abandon ends the dispatcher and nothing else: what runs goes on, and whoever leads next takes it over. The relays must not hear
// it any more.
func (d *Dispatcher) Abandon() {
	d.abandoned.Store(true)
	d.end()
}

func (f *function) writeNote() {
	if text := f.note(); text != nil {
		f.d.relay.Note(f.name, text)
	}
}

// note is what the next leader should know; nil if nothing has happened since it was last asked for.
func (f *function) note() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pool.Latest().Equal(f.notedAt) {
		return nil
	}
	f.notedAt = f.pool.Latest()
	at := now()
	n := note{Pool: f.pool.Note(at), Bill: f.bill.Note(), Drains: map[string]pool.Reason{}, Code: f.versions.settle(f.pool.Rollout())}
	for core := range f.pool.Instances() {
		if why := core.DrainReason(); why != "" && core.State() == pool.Draining {
			n.Drains[core.ID] = why
		}
	}
	text, err := n.text()
	if err != nil {
		f.log.WithError(err).Error("what is learned cannot be written down")
	}
	return text
}

// text is the note as relays keep it. One that would be too long does without the environments that froze first, for Lambda gives
// those up first, and then without the drains: their names are not ours to choose, nor how many there are.
func (n note) text() ([]byte, error) {
	for {
		text, err := json.Marshal(n)
		frozen := n.Pool.Fleet.Frozen
		switch {
		case err != nil || len(text) <= relays.MaxNote:
			return text, err
		case len(frozen) > 0:
			n.Pool.Fleet.Frozen = frozen[(len(frozen)+1)/2:]
		case n.Drains != nil:
			n.Drains = nil
		default:
			return nil, fmt.Errorf("%d bytes, at most %d", len(text), relays.MaxNote)
		}
	}
}
