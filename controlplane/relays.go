package controlplane

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/uplink"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// attached connects the streams of relays with the dispatcher of one term: it passes commands on to the relays, and their events to
// the dispatcher. All conversions between the two are here.
type attached struct {
	leader     *uplink.Leader
	dispatcher *dispatch.Dispatcher
	term       uint64 // from lead on
	log        logrus.FieldLogger

	notes  atomic.Uint64 // written
	synced chan string   // gets each relay that has told all that it had
	over   chan uint64   // gets a higher term that a relay has seen; capacity 1
}

func newAttached(d *dispatch.Dispatcher, sockets string, log logrus.FieldLogger) *attached {
	a := &attached{dispatcher: d, log: log.WithField("component", "relays"), synced: make(chan string, maxSynced), over: make(chan uint64, 1)}
	a.leader = uplink.NewLeader(a, log)
	a.leader.Sockets(sockets)
	return a
}

// lead begins to take relays' streams, in a term that is higher than any before.
func (a *attached) lead(term uint64) {
	a.term = term
	a.leader.Lead(term)
}

// maxSynced is for how many relays nobody need listen.
const maxSynced = 64

// How long a term waits for relays at its beginning: for one, where none is known; else for all that are known, because their
// instances must not be taken for gone. Meanwhile ready instances still serve.
const (
	firstRelay  = time.Second
	knownRelays = 10 * time.Second
)

// await returns when the known relays, or one if none is known, have told all that they had, or have not done so in time.
func (a *attached) await(ctx context.Context, known []string) {
	limit := firstRelay
	if len(known) > 0 {
		limit = knownRelays
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	missing := map[string]bool{}
	for _, name := range known {
		missing[name] = true
	}
	for one := false; !one || len(missing) > 0; {
		select {
		case name := <-a.synced:
			one = true
			delete(missing, name)
		case <-ctx.Done():
			return
		case <-timer.C:
			a.log.WithField("missing", slices.Sorted(maps.Keys(missing))).
				Warn("not all relays have attached yet: what others have is taken over when they do")
			return
		}
	}
}

// attached are the relays whose streams stand, and when they were last known to have seen no higher term.
func (a *attached) attached() (names []string, confirmed time.Time) {
	for name, r := range a.leader.Relays() {
		if !r.Attached {
			continue
		}
		if len(names) == 0 || r.Confirmed.Before(confirmed) {
			confirmed = r.Confirmed
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, confirmed
}

// observed tells how long ago each attached relay has last answered.
func (a *attached) observed() map[string]time.Duration {
	out := map[string]time.Duration{}
	for name, r := range a.leader.Relays() {
		if r.Attached && !r.Confirmed.IsZero() {
			out[name] = time.Since(r.Confirmed)
		}
	}
	return out
}

// flushWithin is how long relays have to hear the last commands of a leader that ends in order.
const flushWithin = 200 * time.Millisecond

// flush waits until the relays have heard all commands so far, or have not done so in time.
func (a *attached) flush() {
	began := time.Now()
	a.leader.Ping()
	for _, confirmed := a.attached(); confirmed.Before(began) && time.Since(began) < flushWithin; _, confirmed = a.attached() {
		time.Sleep(time.Millisecond)
	}
}

// dial lists the relays that peers are told to dial now. An invocation has room for wire.MaxRelays, and no relay may fill it: the
// first address of each comes before any second one.
func (a *attached) dial() []wire.Relay {
	known := a.leader.Relays()
	maps.DeleteFunc(known, func(_ string, r uplink.RelayStatus) bool { return r.Gone })
	var out []wire.Relay
	for i := 0; i < wire.MaxRelays; i++ {
		for _, name := range slices.Sorted(maps.Keys(known)) {
			if dial := known[name].Hello.Dial; i < len(dial) && len(out) < wire.MaxRelays {
				out = append(out, dial[i])
			}
		}
	}
	slices.SortFunc(out, func(x, y wire.Relay) int { return slices.Compare([]byte(x.Address), []byte(y.Address)) })
	return out
}

// Expect implements dispatch.Relays.
func (a *attached) Expect(e relays.Expectation) {
	now := time.Now()
	want := tables.Expectation{
		Instance: e.Instance, Function: e.Function, Endpoint: e.Endpoint, Dollars: e.Dollars, Memo: e.Memo, Expires: tables.Micros(e.Expires.Sub(now)),
	}
	if !e.StartBy.IsZero() {
		want.StartBy = tables.Micros(max(1, e.StartBy.Sub(now)))
	}
	a.leader.Expect(want)
}

// Drain implements dispatch.Relays.
func (a *attached) Drain(instance string, reason wire.Reason) { a.leader.Drain(instance, reason) }

// Forget implements dispatch.Relays.
func (a *attached) Forget(instance string) { a.leader.Forget(instance) }

// Note implements dispatch.Relays.
func (a *attached) Note(function string, text []byte) {
	a.leader.Note(tables.Note{Function: function, Term: a.term, Number: a.notes.Add(1), Text: text})
}

// Attached implements uplink.Sink.
func (a *attached) Attached(relay string, hello tables.Hello) {
	level := logrus.InfoLevel
	if relay == here {
		level = logrus.DebugLevel
	}
	a.log.WithFields(logrus.Fields{"relay": relay, "build": hello.Build}).Log(level, "a relay attaches")
}

// Detached implements uplink.Sink.
func (a *attached) Detached(relay string, err error) {
	if uplink.Ours(err) {
		return
	}
	a.log.WithField("relay", relay).WithError(err).Warn("a relay is not heard any more")
	a.sayAttached()
}

// renew ends the streams of all relays, and returns those that have attached in this term.
func (a *attached) renew() (known []string) {
	a.leader.Renew()
	return slices.Collect(maps.Keys(a.leader.Relays()))
}

// told tells whether all of these relays have told what they have.
func (a *attached) told(known []string) bool {
	relays := a.leader.Relays()
	return !slices.ContainsFunc(known, func(name string) bool { return !relays[name].Synced })
}

// sayAttached tells the dispatcher whether there is a relay through which instances can come up.
func (a *attached) sayAttached() {
	for _, r := range a.leader.Relays() {
		if r.Synced {
			a.dispatcher.Attached(true)
			return
		}
	}
	a.dispatcher.Attached(false)
}

// Register implements uplink.Sink.
func (a *attached) Register(ctx context.Context, _, token string, r wire.Registration) (wire.Invocation, error) {
	return a.dispatcher.Register(ctx, token, r)
}

// Told implements uplink.Sink.
func (a *attached) Told(relay string, events []tables.Event) {
	for _, event := range events {
		a.tell(relay, event)
	}
}

func (a *attached) tell(relay string, event tables.Event) {
	d := a.dispatcher
	switch e := event.(type) {
	case tables.Noted:
		d.Noted(relays.Note{Function: e.Function, Text: e.Text, Age: e.Age.Duration()})
	case tables.Inherited:
		d.Inherited(inheritance(e.Instance))
	case tables.Expected:
		d.Expected(e.Instance)
	case tables.Waiting:
		d.Waiting(relays.Waiting{Instance: e.Instance, Environment: e.Environment, What: e.What, Peer: relays.Peer(e.Peer)})
	case tables.Up:
		d.Up(relays.Up{
			Instance: e.Instance, Environment: e.Environment, Slots: e.Slots, Cold: e.Cold, Left: e.Left.Duration(), Peer: relays.Peer(e.Peer),
		})
	case tables.Load:
		d.Load(e.Instance, relays.Load{
			InFlight: e.InFlight, Requests: e.Requests, Answers: e.Answers, Errors: e.Errors, Memory: e.Memory, Way: e.Way.Duration(),
		})
	case tables.Notice:
		d.Notice(e.Instance, e.Word)
	case tables.Draining:
		d.Draining(e.Instance, e.Reason)
	case tables.Lost:
		if e.Relay {
			d.Away(e.Instance)
		} else {
			d.Lost(e.Instance, errors.New(e.Why))
		}
	case tables.Down:
		d.Down(e.Instance, e.End.Report, uplink.EndError(e.End))
	case tables.Synced:
		d.Attached(true)
		select {
		case a.synced <- relay:
		default: // nobody awaits it any more
		}
	case tables.Superseded:
		select {
		case a.over <- e.Term:
		default:
		}
	}
}

func inheritance(i tables.Instance) relays.Inheritance {
	return relays.Inheritance{
		Instance: i.ID, Function: i.Function, Endpoint: i.Endpoint, Dollars: i.Dollars, Memo: i.Memo,
		Age: i.Age.Duration(), UpFor: i.UpFor.Duration(), Cold: i.Cold, Environment: i.Environment, Drain: i.Drain,
	}
}
