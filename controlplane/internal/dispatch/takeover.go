package dispatch

import (
	"encoding/json"
	"errors"
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

// A Dispatcher may take over from another that has died or handed over. Relays tell it which instances there are (Inherited, then
// the events of each), and what its predecessor has noted (Noted). It decides nothing before Start.

// A memo is what the leader notes about an instance that it starts, beside what the relay knows.
type memo struct {
	Pin   string `json:"pin,omitempty"`   // the version that it is started as
	Slots int    `json:"slots,omitempty"` // the learned slots that it had when it was started
}

func memoOf(i *instance) memo { return memo{Pin: i.core.Pin(), Slots: i.learned} }

func (m memo) text() []byte {
	text, _ := json.Marshal(m) // of words and numbers: it cannot fail
	return text
}

// Inherited takes over an instance of a former leader. If the configuration lacks its function, the instance finishes what it has
// in flight and the function leaves, as if the configuration had changed now. An instance that has no place is drained at once.
func (d *Dispatcher) Inherited(in relays.Inheritance) {
	if d.instance(in.Instance) != nil {
		return // another relay has it too
	}
	f, err := d.stranger(in.Function)
	if err == nil {
		if err = f.inherit(in); errors.Is(err, errForgotten) {
			d.Inherited(in)
			return
		}
		if err != nil {
			d.dropIfEmpty(f)
		}
	}
	if err == nil {
		if f.settings().leaving && d.decides() {
			f.vacate()
		}
		return
	}
	d.log.WithFields(logrus.Fields{"instance": in.Instance, "function": in.Function, "endpoint": in.Endpoint}).WithError(err).
		Warn("an instance of the former leader cannot be taken over: it finishes")
	d.relay.Drain(in.Instance, wire.ReasonOperator)
}

func (f *function) inherit(in relays.Inheritance) error {
	index, err := indexIn(in.Endpoint, f.name)
	if err != nil {
		return err
	}
	var m memo
	_ = json.Unmarshal(in.Memo, &m) // it may be missing or of a later build; the relay knows the rest
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forgotten {
		return errForgotten
	}
	at := now()
	if err := f.reserve(index); err != nil {
		return err
	}
	core, err := f.pool.Inherit(at, f.estate(at, in, index, m))
	if err != nil {
		return err
	}
	i := f.know(in.Instance, core)
	i.environment, i.orphaned, i.isUp = in.Environment, true, in.UpFor > 0
	f.endpoints.list[index].known = in.UpFor > 0 // Envoy knows the endpoint of an instance that was up
	f.proven = f.proven || in.UpFor > 0
	if !core.Adopted() {
		f.bill.Inherited(at, core.Started())
	}
	f.arm(at)
	f.log.WithFields(logrus.Fields{"instance": i.id, "age": in.Age.Round(time.Millisecond)}).Info("instance is taken over")
	return nil
}

// estate describes an inherited instance to the pool.
func (f *function) estate(at time.Time, in relays.Inheritance, index int, m memo) pool.Estate {
	age := min(max(in.Age, 0), f.oldest())
	e := pool.Estate{
		Index: index, Started: at.Add(-age), Cold: in.Cold, Environment: in.Environment, Pin: m.Pin, Version: m.Pin,
		Price: scaler.NewPrice(in.Dollars, f.settings().plan.rates.Request), Adopted: f.settings().provider == nil, Told: pool.Reason(in.Drain),
	}
	if f.d.caretaker {
		e.Slots = m.Slots
	}
	if in.UpFor > 0 {
		e.Took = max(age-min(in.UpFor, age), 1)
	}
	return e
}

// oldest is the most that is believed of an instance's age. Nothing runs longer in Lambda, whatever a relay says, and what does is billed.
func (f *function) oldest() time.Duration {
	if f.settings().provider == nil {
		return oldestPeer
	}
	return oldestInvocation
}

const (
	oldestInvocation = time.Hour // longer than the longest start and the longest timeout together
	oldestPeer       = 10 * 365 * 24 * time.Hour
)

// indexIn is the number in an endpoint's name, "web/0007".
func indexIn(endpoint, function string) (int, error) {
	number, ours := strings.CutPrefix(endpoint, function+"/")
	index, err := strconv.Atoi(number)
	if !ours || err != nil || index < 0 || index > maxIndex {
		return 0, fmt.Errorf("%q is not an endpoint of function %q", endpoint, function)
	}
	return index, nil
}

// How far relays can make tables of endpoints grow, which Envoys are told: that of one function, and those of all functions together that
// are not configured.
const (
	maxIndex   = 19_999
	maxStrange = 50_000
)

// reserve accounts for the endpoints up to an index, if the function is not configured. The caller holds f.mu.
func (f *function) reserve(index int) error {
	if !f.settings().leaving || index < f.strange {
		return nil
	}
	more := int64(index + 1 - f.strange)
	if f.d.strange.Add(more) > maxStrange {
		f.d.strange.Add(-more)
		return errStranger
	}
	f.strange = index + 1
	return nil
}

// unreserve is called when the function is configured, or forgotten.
func (f *function) unreserve() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.d.strange.Add(-int64(f.strange))
	f.strange = 0
}

// A note is what a leader tells the next one about a function.
type note struct {
	Pool   pool.Note              `json:"pool"`
	Bill   bill.Note              `json:"bill"`
	Drains map[string]pool.Reason `json:"drains,omitempty"` // by instance: those that drain and were not told to finish yet
	Code   *provider.Routing      `json:"code,omitempty"`   // the code that all instances run; nil: not known
}

// noted is what a function has from the former leader's note.
type noted struct {
	learned bool
	drains  map[string]pool.Reason
}

// Noted takes in the former leader's note about a function. It comes before the function's instances. Only the first one counts.
func (d *Dispatcher) Noted(n relays.Note) {
	f := d.named(n.Function)
	if f == nil {
		return
	}
	var text note
	if err := json.Unmarshal(n.Text, &text); err != nil {
		f.log.WithError(err).Warn("the former leader's note cannot be read: what it learned is learned anew")
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

// WriteNotes gives relays a note for the next leader about each function to which something has happened since the last note.
func (d *Dispatcher) WriteNotes() {
	for _, f := range d.list() {
		f.writeNote()
	}
}

// Abandon ends the dispatcher but not its instances: the next leader takes them over. The relays must already be out of its reach.
func (d *Dispatcher) Abandon() {
	d.abandoned.Store(true)
	d.end()
}

func (f *function) writeNote() {
	f.noting.Lock()
	defer f.noting.Unlock()
	if text := f.note(); text != nil {
		f.d.relay.Note(f.name, text)
	}
}

// note is the note for the next leader; nil if nothing has happened since the last one.
func (f *function) note() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pool.Latest().Equal(f.notedAt) {
		return nil
	}
	f.notedAt = f.pool.Latest()
	at := now()
	n := note{Pool: f.pool.Note(at), Bill: f.bill.Note(), Drains: map[string]pool.Reason{}, Code: f.versions.updateSettled(f.pool.Rollout())}
	for core := range f.pool.Instances() {
		if why := core.DrainReason(); why != "" && core.State() == pool.Draining {
			n.Drains[core.ID] = why
		}
	}
	text, err := n.text()
	if err != nil {
		f.log.WithError(err).Error("the note for the next leader cannot be written")
	}
	return text
}

// text encodes the note for relays. If it is too long it loses the environments that froze first, because Lambda gives those up
// first, and then the drains. The length of names and the number of drains have no bound of ours.
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
