package tables

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

var start = time.Unix(1_900_000_000, 0)

// A stack is one relay with its keeper, and the leaders of rising terms, of which the last one lives. Messages go through
// JSON, and wait in two queues that break with the stream.
type stack struct {
	t       require.TestingT
	now     time.Time
	term    uint64
	boot    int
	session Session
	keeper  *Keeper
	mirror  *Mirror
	toRelay []Desired
	toLead  []Observed

	book   map[string]Kept   // what the relay has written down; nil: it does not
	relay  map[string]*state // what the relay has
	leader map[string]*state // what the leader has been told
	ends   map[string]int    // at the relay
	wanted map[string]bool   // expected by the leader and not ended
}

// A state is an instance as one side sees it.
// loads: what is in flight on it was told.
type state struct{ up, ended, loads bool }

func newStack(t require.TestingT) *stack {
	s := &stack{t: t, now: start, relay: map[string]*state{}, ends: map[string]int{}}
	s.restartRelay(0)
	s.takeOver()
	return s
}

func (s *stack) restartRelay(term uint64) {
	s.boot++
	s.cut(true)
	s.keeper = NewKeeper(Hello{Relay: "pair", Boot: strconv.Itoa(s.boot)}, term)
	s.relay = map[string]*state{}
	s.book = nil
}

// restartRelayWithBook lets a relay begin with what the one before has written down.
func (s *stack) restartRelayWithBook() {
	before, had := s.book, s.relay
	s.restartRelay(s.keeper.Term())
	if s.book = before; before == nil {
		s.book = map[string]Kept{}
	}
	var kept []Kept
	for _, id := range slices.Sorted(maps.Keys(s.book)) {
		kept = append(kept, s.book[id])
		if was := had[id]; was != nil && was.ended {
			s.relay[id] = &state{ended: true}
		}
	}
	s.obey(s.keeper.Remember(s.now, kept))
	s.write()
	for id, was := range had {
		require.True(s.t, before == nil || was.ended || s.relay[id] != nil, "%s is forgotten", id)
	}
}

// write writes down what has changed.
func (s *stack) write() {
	c := s.keeper.Changes(s.now)
	for _, k := range c.Kept {
		s.book[k.ID] = through(s.t, k, DecodeKept)
	}
	for _, id := range c.Gone {
		delete(s.book, id)
	}
	if s.book == nil {
		return
	}
	whole := s.keeper.Kept(s.now)
	require.Len(s.t, whole, len(s.book), "what is written down is not what is kept")
	for _, k := range whole {
		require.Equal(s.t, k.Phase, s.book[k.ID].Phase, k.ID)
		require.Equal(s.t, k.Drain, s.book[k.ID].Drain, k.ID)
	}
}

// takeOver lets a leader of a new term begin.
func (s *stack) takeOver() {
	s.cut(true)
	s.term++
	s.mirror = NewMirror(s.term, "cp"+strconv.FormatUint(s.term, 10))
	s.leader, s.wanted = map[string]*state{}, map[string]bool{}
}

// cut ends the stream, and ended says whether the leader takes its relay for gone.
func (s *stack) cut(ended bool) {
	if s.keeper != nil {
		s.keeper.Close(s.session)
	}
	if s.mirror != nil {
		s.hear(s.mirror.Detach(ended))
	}
	s.toRelay, s.toLead = nil, nil
}

func (s *stack) attach() {
	s.cut(false)
	s.session++
	s.hear(s.mirror.Attach(through(s.t, s.keeper.Greeting(), DecodeObserved)))
}

// through sends a message through its codec.
func through[T any](t require.TestingT, message T, decode func([]byte) (T, error)) T {
	text, err := json.Marshal(message)
	require.NoError(t, err)
	out, err := decode(text)
	require.NoError(t, err)
	return out
}

func (s *stack) leaderSends() bool {
	d, ok := s.mirror.Next(s.now)
	if ok {
		s.toRelay = append(s.toRelay, through(s.t, d, DecodeDesired))
	}
	return ok
}

func (s *stack) relaySends() bool {
	o, ok := s.keeper.Next(s.now, s.session)
	if ok {
		s.toLead = append(s.toLead, through(s.t, o, DecodeObserved))
	}
	return ok
}

func (s *stack) relayReceives() bool {
	if len(s.toRelay) == 0 {
		return false
	}
	d := s.toRelay[0]
	s.toRelay = s.toRelay[1:]
	commands, err := s.keeper.Receive(s.now, s.session, d)
	require.NoError(s.t, err)
	s.write()
	s.obey(commands)
	return true
}

func (s *stack) obey(commands []Command) {
	for _, c := range commands {
		switch c := c.(type) {
		case Expect:
			require.Nil(s.t, s.relay[c.Instance], "%s is expected twice", c.Instance)
			s.relay[c.Instance] = &state{}
		case Forget:
			s.end(c.Instance, End{Cause: EndForgotten})
		case Drain:
			require.NotNil(s.t, s.relay[c.Instance])
		}
	}
}

func (s *stack) leaderReceives() bool {
	if len(s.toLead) == 0 {
		return false
	}
	o := s.toLead[0]
	s.toLead = s.toLead[1:]
	events, err := s.mirror.Receive(s.now, o)
	require.NoError(s.t, err)
	s.hear(events)
	s.mirror.Taken()
	return true
}

// hear holds the leader's events to their order.
func (s *stack) hear(events []Event) {
	for _, e := range events {
		switch e := e.(type) {
		case Inherited:
			require.Nil(s.t, s.leader[e.ID], "%s is inherited though it is known", e.ID)
			s.leader[e.ID] = &state{}
		case Expected:
			require.Nil(s.t, s.leader[e.Instance], "%s is confirmed twice", e.Instance)
			require.True(s.t, s.wanted[e.Instance])
			s.leader[e.Instance] = &state{}
		case Up:
			require.False(s.t, s.known(e.Instance).up, "%s is up twice", e.Instance)
			s.known(e.Instance).up = true
		case Lost:
			require.True(s.t, s.known(e.Instance).up, "%s is lost and was not up", e.Instance)
			s.known(e.Instance).up = false
		case Load:
			require.True(s.t, s.known(e.Instance).up, "%s is not up and has a load", e.Instance)
			s.known(e.Instance).loads = true
		case Down:
			if e.End.Cause != EndFull {
				s.known(e.Instance).ended = true
			}
			delete(s.wanted, e.Instance)
		}
	}
}

// known is an instance that the leader knows and that has not ended for it.
func (s *stack) known(id string) *state {
	require.NotNil(s.t, s.leader[id], "%s is not known", id)
	require.False(s.t, s.leader[id].ended, "%s has ended before", id)
	return s.leader[id]
}

func (s *stack) end(id string, end End) {
	if i := s.relay[id]; i != nil && !i.ended {
		i.ended = true
		s.ends[id]++
		s.keeper.Down(s.now, id, end)
		s.write()
	}
}

func (s *stack) up(id string) {
	if i := s.relay[id]; i != nil && !i.ended && !i.up {
		i.up = true
		s.keeper.Up(s.now, Up{Instance: id, Environment: "e", Slots: 10, Left: Micros(time.Minute)})
		s.write()
	}
}

func (s *stack) lose(id string) {
	if i := s.relay[id]; i != nil && !i.ended && i.up {
		i.up = false
		s.keeper.Lost(id, "broken")
		s.write()
	}
}

// settle lets the stream carry all that there is to say.
func (s *stack) settle() {
	for again := true; again; {
		again = s.leaderSends() || s.relaySends() || s.relayReceives() || s.leaderReceives()
	}
}

func (s *stack) expect(id string) {
	s.wanted[id] = true
	s.mirror.Expect(s.now, Expectation{Instance: id, Function: "web", Endpoint: "web/0001", Expires: Micros(time.Minute), Dollars: 1, Memo: []byte("m")})
}

// A leader that is attached and has nothing more to say knows exactly what the relay has.
func (s *stack) agree() {
	s.attach()
	s.settle()
	require.True(s.t, s.keeper.Settled())
	require.True(s.t, s.mirror.Synced())
	for id, at := range s.relay {
		told := s.leader[id]
		if at.ended {
			require.True(s.t, told == nil || told.ended, "the end of %s was not told", id)
			continue
		}
		require.NotNil(s.t, told, "%s was not told", id)
		require.Equal(s.t, at.up, told.up, id)
		require.True(s.t, told.loads || !at.up, "what is in flight on %s was not told, and may not change for long", id)
		require.False(s.t, told.ended, id)
	}
	for id := range s.wanted {
		require.NotNil(s.t, s.relay[id], "%s is wanted and not expected", id)
	}
	_, ended := s.keeper.Len()
	require.Zero(s.t, ended, "tombstones stay")
	s.mirror.Ping()
	s.settle()
	require.Equal(s.t, s.now, s.mirror.Confirmed())
	require.Empty(s.t, s.mirror.ended)
}

func TestTheLeaderIsToldWhatTheRelayHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStack(t)
		ids := []string{"a", "b", "c", "d"}
		born := 0
		id := func(t *rapid.T) string { return rapid.SampledFrom(ids).Draw(t, "id") }
		t.Repeat(map[string]func(*rapid.T){
			"attach":                       func(*rapid.T) { s.attach() },
			"break":                        func(*rapid.T) { s.cut(true) },
			"fall silent":                  func(*rapid.T) { s.cut(false) },
			"leader sends":                 func(*rapid.T) { s.leaderSends() },
			"relay sends":                  func(*rapid.T) { s.relaySends() },
			"relay receives":               func(*rapid.T) { s.relayReceives() },
			"leader hears":                 func(*rapid.T) { s.leaderReceives() },
			"take over":                    func(*rapid.T) { s.takeOver() },
			"restart relay":                func(*rapid.T) { s.restartRelay(s.keeper.Term()) },
			"restart relay that remembers": func(*rapid.T) { s.restartRelayWithBook() },
			"time":                         func(*rapid.T) { s.now = s.now.Add(time.Second) },
			"up":                           func(t *rapid.T) { s.up(id(t)) },
			"lose":                         func(t *rapid.T) { s.lose(id(t)) },
			"load": func(t *rapid.T) {
				one := id(t)
				if i := s.relay[one]; i != nil && i.up && !i.ended {
					s.keeper.Load(s.now, Load{Instance: one, InFlight: 3})
				}
			},
			"end":    func(t *rapid.T) { s.end(id(t), End{Cause: EndControlEnded}) },
			"drain":  func(t *rapid.T) { s.mirror.Drain(id(t), wire.ReasonScaleIn) },
			"forget": func(t *rapid.T) { s.mirror.Forget(id(t)) },
			"expect": func(t *rapid.T) {
				born++
				ids[born%len(ids)] = string(rune('a'+born%len(ids))) + string(rune('0'+born/len(ids)%10)) + string(rune('0'+born/40))
				s.expect(ids[born%len(ids)])
			},
			"note": func(*rapid.T) { s.mirror.Note(s.now, Note{Function: "web", Term: s.term, Number: uint64(born)}) },
			"":     func(*rapid.T) {},
		})
		s.agree()
		for id, n := range s.ends {
			require.LessOrEqual(t, n, 1, id)
		}
	})
}

// A stream that ends may have ended with its relay, whose sockets are dead then: what was up is not up any more for the leader, until the
// relay says so again. One that falls silent says nothing of the kind: what is up serves on.
func TestWhatWasUpIsLostWithItsRelay(t *testing.T) {
	for name, ended := range map[string]bool{"its stream ends": true, "it falls silent": false} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.attach()
			for _, id := range []string{"a", "b", "starts"} {
				s.expect(id)
			}
			s.settle()
			s.up("a")
			s.up("b")
			s.keeper.Load(s.now, Load{Instance: "a", InFlight: 2})
			s.settle()
			lost := s.mirror.Detach(ended)
			if ended {
				require.Equal(t, []Event{
					Lost{"a", "its relay is not heard any more", true}, Lost{"b", "its relay is not heard any more", true},
				}, lost)
			} else {
				require.Empty(t, lost)
			}
			s.hear(lost)
			require.Empty(t, s.mirror.Detach(ended), "it is lost once")
			s.agree()
			require.True(t, s.leader["a"].up)
			require.False(t, s.leader["starts"].up)
		})
	}
}

func TestARelayCountsWhatIsInFlight(t *testing.T) {
	s := newStack(t)
	s.attach()
	for id, n := range map[string]int{"a": 2, "b": 3, "lost": 4, "ended": 5} {
		s.expect(id)
		s.settle()
		s.up(id)
		s.keeper.Load(s.now, Load{Instance: id, InFlight: n})
	}
	s.lose("lost")
	s.end("ended", End{Cause: EndControlEnded})
	require.Equal(t, 5, s.keeper.InFlight())
}

// While a stream is away leases may end of which the leader does not hear: what a peer counts is told again, though it has not changed.
func TestLoadsAreToldAgain(t *testing.T) {
	s := newStack(t)
	s.attach()
	s.expect("a")
	s.settle()
	s.up("a")
	s.keeper.Load(s.now, Load{Instance: "a", InFlight: 2})
	s.settle()
	s.attach()
	for s.leaderSends() || s.relayReceives() || s.relaySends() {
	}
	var told []Event
	for _, o := range s.toLead {
		events, err := s.mirror.Receive(s.now, o)
		require.NoError(t, err)
		told = append(told, events...)
	}
	require.True(t, slices.ContainsFunc(told, func(e Event) bool {
		load, is := e.(Load)
		return is && load.Instance == "a" && load.InFlight == 2
	}), "%v", told)
}

// A relay that has heard of a new leader obeys the old one no more, on whichever stream it speaks; and another stream of the same
// leader takes the place of its first.
func TestARelayObeysTheHighestTermAndItsLatestStream(t *testing.T) {
	want := func(term, number uint64, id string) Desired {
		return Desired{Term: term, Wants: []Want{{Number: number, Instance: id, Expect: &Expectation{Instance: id, Function: "web", Endpoint: "web/0001"}}}}
	}
	k := NewKeeper(Hello{Relay: "pair", Boot: "b"}, 4)
	var stale *StaleError
	_, err := k.Receive(start, 1, want(3, 1, "a"))
	require.ErrorAs(t, err, &stale, "the term was seen before the relay restarted")
	require.Equal(t, uint64(4), stale.Seen)
	commands, err := k.Receive(start, 1, want(5, 1, "b"))
	require.NoError(t, err)
	require.Len(t, commands, 1)
	_, err = k.Receive(start, 2, want(4, 9, "c"))
	require.ErrorAs(t, err, &stale)
	require.True(t, k.Attached(), "a stale leader took the stream's place")
	_, err = k.Receive(start, 3, want(5, 2, "d"))
	require.NoError(t, err)
	_, err = k.Receive(start, 1, want(5, 3, "e"))
	require.ErrorIs(t, err, ErrReplaced)
	k.Close(1)
	require.True(t, k.Attached(), "the end of a stream that was replaced")
	_, err = k.Receive(start, 1, want(6, 1, "f"))
	require.NoError(t, err, "a new term counts on any stream")
	kept, _ := k.Len()
	require.Equal(t, 3, kept)
}

// A relay keeps so many instances and no more, those counted that nobody heard the end of.
func TestARelayThatIsFullRefusesAndSaysSo(t *testing.T) {
	k, m := NewKeeper(Hello{Relay: "pair", Boot: "b"}, 0), NewMirror(1, "cp")
	m.Attach(k.Greeting())
	for i := range MaxInstances + 1 {
		m.Expect(start, Expectation{Instance: "i" + strconv.Itoa(i), Function: "web", Endpoint: "web/0001"})
	}
	confirmed, refused, largest := 0, 0, 0
	for again := true; again; {
		again = false
		if d, ok := m.Next(start); ok {
			again, largest = true, max(largest, len(d.Wants))
			_, err := k.Receive(start, 1, d)
			require.NoError(t, err)
		}
		if o, ok := k.Next(start, 1); ok {
			again, largest = true, max(largest, len(o.Instances))
			events, err := m.Receive(start, o)
			require.NoError(t, err)
			for _, e := range events {
				switch e := e.(type) {
				case Expected:
					confirmed++
				case Down:
					require.Equal(t, EndFull, e.End.Cause)
					refused++
				}
			}
		}
	}
	require.Equal(t, MaxInstances, confirmed)
	require.Equal(t, 1, refused)
	require.LessOrEqual(t, largest, maxItems)
}

func TestTheNewerNoteIsKept(t *testing.T) {
	k := NewKeeper(Hello{Relay: "pair", Boot: "b"}, 0)
	for _, n := range []Note{{Function: "web", Term: 2, Number: 5}, {Function: "web", Term: 2, Number: 4}, {Function: "web", Term: 1, Number: 9}} {
		_, err := k.Receive(start, 1, Desired{Term: 2, Notes: []Note{n}})
		require.NoError(t, err)
	}
	require.Equal(t, Note{Function: "web", Term: 2, Number: 5}, k.notes["web"].Note)
	_, err := k.Receive(start, 2, Desired{Term: 2})
	require.NoError(t, err)
	o, ok := k.Next(start.Add(time.Minute), 2)
	require.True(t, ok)
	require.Equal(t, Micros(time.Minute), o.Notes[0].Age)
	for i := range MaxNotes {
		_, err := k.Receive(start, 2, Desired{Term: 2, Notes: []Note{{Function: strconv.Itoa(i)}}})
		require.NoError(t, err)
	}
	require.Equal(t, MaxNotes, k.Notes())
}

// What has ended while nobody led is billed for as long as it ran, however long it takes until somebody leads.
func TestAnInstanceThatHasEndedGetsNoOlder(t *testing.T) {
	s := newStack(t)
	s.attach()
	s.expect("i")
	s.settle()
	s.now = s.now.Add(2 * time.Second)
	s.up("i")
	s.settle()
	s.cut(true)
	s.now = s.now.Add(8 * time.Second)
	s.end("i", End{Cause: EndControlEnded})
	s.now = s.now.Add(3 * time.Hour)
	s.takeOver()
	s.mirror.Attach(s.keeper.Greeting())
	for s.leaderSends() || s.relayReceives() {
	}
	o, ok := s.keeper.Next(s.now, s.session)
	require.True(t, ok)
	require.Len(t, o.Instances, 1)
	require.Equal(t, []any{10 * time.Second, 8 * time.Second}, []any{o.Instances[0].Age.Duration(), o.Instances[0].UpFor.Duration()})
}

// A new leader hears of an end before it hears of the instance that has the endpoint now.
func TestASnapshotBeginsWithWhatHasEnded(t *testing.T) {
	k := NewKeeper(Hello{Relay: "pair", Boot: "b"}, 0)
	for i, id := range []string{"b", "a", "c"} {
		_, err := k.Receive(start, 1, Desired{Term: 1, Wants: []Want{{
			Number: uint64(i + 1), Instance: id, Expect: &Expectation{Instance: id, Function: "web", Endpoint: "web/0001"},
		}}})
		require.NoError(t, err)
	}
	k.Down(start, "b", End{Cause: EndControlEnded})
	_, err := k.Receive(start, 2, Desired{Term: 2})
	require.NoError(t, err)
	o, ok := k.Next(start, 2)
	require.True(t, ok)
	require.Equal(t, "b", o.Instances[0].ID)
	require.Equal(t, "a", o.Instances[1].ID)
}

// What elects leaders may lose its memory, and elect another one for a term that has a leader. Neither is obeyed then: the next one leads
// a term that no other has.
func TestTwoLeadersOfOneTermAreBothTooLate(t *testing.T) {
	s := newStack(t)
	s.attach()
	s.expect("a")
	s.settle()
	first, second := s.mirror, NewMirror(s.term, "another")
	d := func(m *Mirror) Desired { return Desired{Term: s.term, Leader: m.leader} }
	_, err := s.keeper.Receive(s.now, s.session, d(first))
	require.NoError(t, err)
	_, err = s.keeper.Receive(s.now, s.session, Desired{Term: s.term})
	require.NoError(t, err, "a build that does not say who it is")
	_, err = s.keeper.Receive(s.now, s.session+1, d(second))
	var stale *StaleError
	require.ErrorAs(t, err, &stale)
	require.False(t, s.keeper.Settled())
	_, err = s.keeper.Receive(s.now, s.session, d(first))
	require.ErrorAs(t, err, &stale)
	for _, m := range []*Mirror{first, second} {
		events, err := m.Receive(s.now, Observed{Term: s.keeper.Term()})
		require.NoError(t, err)
		require.Equal(t, []Event{Superseded{Term: s.term + 1}}, events)
	}
	s.term++
	s.takeOver()
	s.agree()
	require.NotNil(t, s.leader["a"], "what runs goes on")
}

// A relay that was taken for replaced comes back, and an instance ends while it tells what it has: the leader hears of that end too.
func TestWhatWasReplacedEndsOnce(t *testing.T) {
	now := time.Now()
	m := NewMirror(1, "leader")
	hello := Observed{Hello: &Hello{Relay: "r", Boot: "b"}}
	up := Instance{ID: "i", Function: "web", Endpoint: "web/0000", Phase: PhaseUp, Ups: 1, Slots: 1}
	ended := up
	ended.Phase, ended.End = PhaseEnded, &End{Cause: EndControlEnded}
	receive := func(o Observed) (ends int) {
		events, err := m.Receive(now, o)
		require.NoError(t, err)
		for _, e := range events {
			if _, ok := e.(Down); ok {
				ends++
			}
		}
		return ends
	}
	m.Attach(hello)
	receive(Observed{Number: 1, Instances: []Instance{up}, Complete: true})
	m.Detach(true)
	nobody := func(string) bool { return false }
	require.Equal(t, []Event{Down{"i", End{Cause: EndReplaced}}}, m.Replace(nobody))
	require.Empty(t, m.Replace(nobody), "it is told once")
	m.Attach(hello)
	require.Zero(t, receive(Observed{Number: 2, Instances: []Instance{up}}))
	require.Equal(t, 1, receive(Observed{Number: 3, Instances: []Instance{ended}}))
	require.Zero(t, receive(Observed{Number: 4, Complete: true}))
}
