package lease

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var start = time.Unix(1_900_000_000, 0)

var (
	errLost    = errors.New("lost")
	errRefused = Because(Throttled, errors.New("refused"))
)

// A stack is several candidates around one store, to which requests and answers take their time.
type stack struct {
	t       require.TestingT
	now     time.Time
	record  Record
	all     []*runner
	late    []*step           // given up by who began them, and not yet done by the store
	holders map[uint64]string // by term
}

// A runner is one candidate with what it has under way.
type runner struct {
	*Candidate
	under *step
}

// A step is under way to the store, or back.
type step struct {
	Step
	done     bool // by the store
	found    Record
	conflict bool
}

func newStack(t require.TestingT, n int) *stack {
	s := &stack{t: t, now: start, holders: map[uint64]string{}}
	for i := range n {
		s.all = append(s.all, &runner{Candidate: NewCandidate(fmt.Sprint("c", i), "")})
	}
	return s
}

// begin lets a candidate take its next step.
func (s *stack) begin(r *runner) bool {
	if r.under != nil {
		return false
	}
	next := r.Step(s.now)
	if next.Kind == StepWait {
		require.True(s.t, next.At.After(s.now), "a wait for now")
		return false
	}
	r.under = &step{Step: next}
	return true
}

// serve lets the store carry a candidate's step out.
func (s *stack) serve(r *runner) bool {
	if r.under == nil || r.under.done {
		return false
	}
	s.carryOut(r.under)
	return true
}

func (s *stack) carryOut(u *step) {
	u.done = true
	if u.Kind == StepSwap && u.Seen == s.record.Version {
		require.Greater(s.t, u.Next.Version, s.record.Version)
		s.record = u.Next
	} else if u.Kind == StepSwap {
		u.conflict = true
	}
	u.found = s.record
}

// arriveLate lets the store carry out what nobody waits for any more.
func (s *stack) arriveLate() {
	if len(s.late) > 0 {
		s.carryOut(s.late[0])
		s.late = s.late[1:]
	}
}

// answer brings what the store said back; lost: nothing.
func (s *stack) answer(r *runner, lost bool) bool {
	u := r.under
	if u == nil || !u.done && !lost {
		return false
	}
	r.under = nil
	var err error
	switch {
	case lost:
		err = errLost
		if !u.done {
			s.late = append(s.late, u)
		}
	case u.conflict:
		err = &ConflictError{Now: u.found}
	}
	if u.Kind == StepRead {
		r.Read(s.now, Found{Record: u.found}, err)
	} else {
		r.Swapped(s.now, err)
	}
	return true
}

// refuse brings the answer that the store does nothing.
func (s *stack) refuse(r *runner) {
	u := r.under
	if u == nil || u.done {
		return
	}
	r.under = nil
	if u.Kind == StepRead {
		r.Read(s.now, Found{}, errRefused)
	} else {
		r.Swapped(s.now, errRefused)
	}
}

// check finds two leaders, and terms with two holders.
func (s *stack) check() {
	leads := ""
	for _, r := range s.all {
		standing := r.Standing(s.now)
		if !standing.Leads {
			continue
		}
		require.Empty(s.t, leads, "%s leads too", r.me)
		leads = r.me
		if holder := s.holders[standing.Term]; holder != "" {
			require.Equal(s.t, holder, r.me, "term %d has two leaders", standing.Term)
		}
		s.holders[standing.Term] = r.me
	}
}

// run lets everybody do what they can, for a while.
func (s *stack) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(10 * time.Millisecond) {
		for _, r := range s.all {
			s.begin(r)
			s.serve(r)
			s.answer(r, false)
		}
		s.check()
	}
}

func (s *stack) leaders() (out []*runner) {
	for _, r := range s.all {
		if r.Standing(s.now).Leads {
			out = append(out, r)
		}
	}
	return out
}

func TestNeverTwoLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStack(t, 3)
		one := func(t *rapid.T) *runner { return rapid.SampledFrom(s.all).Draw(t, "who") }
		t.Repeat(map[string]func(*rapid.T){
			"begin":  func(t *rapid.T) { s.begin(one(t)) },
			"serve":  func(t *rapid.T) { s.serve(one(t)) },
			"answer": func(t *rapid.T) { s.answer(one(t), false) },
			"lose":   func(t *rapid.T) { s.answer(one(t), true) },
			"late":   func(*rapid.T) { s.arriveLate() },
			"refuse": func(t *rapid.T) { s.refuse(one(t)) },
			"whole": func(t *rapid.T) {
				r := one(t)
				s.begin(r)
				s.serve(r)
				s.answer(r, false)
			},
			"moment": func(t *rapid.T) {
				s.now = s.now.Add(time.Duration(rapid.IntRange(1, 700).Draw(t, "ms")) * time.Millisecond)
			},
			"while": func(t *rapid.T) {
				s.now = s.now.Add(Duration * time.Duration(rapid.IntRange(85, 101).Draw(t, "percent")) / 100)
			},
			"round":      func(*rapid.T) { s.run(10 * time.Millisecond) },
			"superseded": func(t *rapid.T) { one(t).Superseded(s.record.Term + 1) },
			"end":        func(t *rapid.T) { one(t).End() },
			"": func(*rapid.T) {
				s.check()
			},
		})
		// Whatever happened, somebody leads soon, and only one.
		s.run(3 * Duration)
		require.Len(t, s.leaders(), 1)
	})
}

func TestALeaderThatLeavesIsFollowedAtOnce(t *testing.T) {
	s := newStack(t, 2)
	s.run(Duration)
	first := s.leaders()[0]
	first.Leave(s.now)
	s.run(2 * Watch)
	require.True(t, first.Left())
	next := s.leaders()
	require.Len(t, next, 1)
	require.NotEqual(t, first.me, next[0].me)
	require.Equal(t, uint64(2), next[0].Standing(s.now).Term)
}

func TestAHolderThatIsSurelyGoneIsFollowedAtOnce(t *testing.T) {
	c := NewCandidate("me", "")
	require.Equal(t, StepRead, c.Step(start).Kind)
	c.Read(start, Found{Record: Record{Version: 4, Term: 2, Holder: "other", Relays: []string{"p"}}, Gone: true}, nil)
	step := c.Step(start)
	require.Equal(t, StepSwap, step.Kind)
	require.Equal(t, Record{Version: 5, Term: 3, Holder: "me", Relays: []string{"p"}}, step.Next)
}

// Scenario 45: a leader that cannot reach its store goes on while all relays of its record confirm its term, and not a moment longer.
func TestRelaysKeepALeaderWithoutItsStore(t *testing.T) {
	s := newStack(t, 1)
	s.run(Watch)
	r := s.all[0]
	r.Relays(s.now, []string{"p1", "p2"}, s.now)
	s.run(2 * Renew)
	require.Equal(t, []string{"p1", "p2"}, s.record.Relays)
	cut := s.now
	pass := func(d time.Duration, attached []string) {
		for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(100 * time.Millisecond) {
			s.begin(r)
			s.answer(r, true)
			if attached != nil {
				r.Relays(s.now, attached, s.now)
			}
		}
	}
	pass(3*Duration, []string{"p1", "p2"})
	require.True(t, r.Standing(s.now).Leads, "%s after the store was cut", s.now.Sub(cut))
	pass(Duration/2+time.Millisecond, nil)
	require.False(t, r.Standing(s.now).Leads, "the relays have been silent for half a lease")
	pass(Renew, []string{"p1", "p2"})
	require.True(t, r.Standing(s.now).Leads)
	pass(Renew, []string{"p2"})
	require.False(t, r.Standing(s.now).Leads, "one is missing")
	pass(Renew, []string{"p1", "p2"})
	require.True(t, r.Standing(s.now).Leads)
	r.Superseded(9)
	require.False(t, r.Standing(s.now).Leads, "a relay has seen a higher term")
}

// A store that is cut a moment after an election must not end what has just begun: the record names a relay as soon as it attaches.
func TestARelayThatAttachesIsRecordedAtOnce(t *testing.T) {
	s := newStack(t, 1)
	s.run(Watch)
	r := s.all[0]
	version := s.record.Version
	r.Relays(s.now, []string{"p1"}, s.now)
	s.run(20 * time.Millisecond)
	require.Equal(t, []string{"p1"}, s.record.Relays)
	require.Equal(t, version+1, s.record.Version)
	r.Relays(s.now, []string{"p1"}, s.now)
	r.Relays(s.now, nil, s.now)
	s.run(20 * time.Millisecond)
	require.Equal(t, version+1, s.record.Version, "nothing is to be added")
}

// A store that comes back is no reason for another leader, whoever asks it first.
func TestALeaderThatWentOnWithoutItsStoreKeepsItsRecord(t *testing.T) {
	t.Run("it does not answer", func(t *testing.T) {
		keepsItsRecord(t, func(s *stack, r *runner) { s.answer(r, true) })
	})
	t.Run("it refuses", func(t *testing.T) {
		keepsItsRecord(t, (*stack).refuse)
	})
}

func keepsItsRecord(t *testing.T, fail func(*stack, *runner)) {
	s := newStack(t, 2)
	s.run(Watch)
	leader := s.leaders()[0]
	standby := s.all[1]
	if standby == leader {
		standby = s.all[0]
	}
	attach := func() { leader.Relays(s.now, []string{"p"}, s.now) }
	attach()
	s.run(2 * Renew)
	for end := s.now.Add(3 * Duration); s.now.Before(end); s.now = s.now.Add(50 * time.Millisecond) {
		attach()
		for _, r := range s.all {
			s.begin(r)
			fail(s, r)
		}
	}
	for end := s.now.Add(maxStep + Retry); s.now.Before(end); s.now = s.now.Add(50 * time.Millisecond) { // the leader's attempt is slow
		attach()
		s.begin(standby)
		s.serve(standby)
		s.answer(standby, false)
	}
	s.run(Retry)
	require.Equal(t, []*runner{leader}, s.leaders())
	require.EqualValues(t, 1, s.record.Term)

	// One that has died meanwhile is followed, though every second attempt fails.
	s.all = []*runner{standby}
	for n, end := 0, s.now.Add(Duration+Recovery+Renew); s.now.Before(end); s.now = s.now.Add(50 * time.Millisecond) {
		if s.begin(standby) {
			n++
			s.serve(standby)
			s.answer(standby, n%2 == 0)
		}
	}
	require.Equal(t, []*runner{standby}, s.leaders())
}

// Each read may be refused as well, so a standby that may lead asks for no more of them.
func TestARefusedSwapIsTriedAgainWithoutARead(t *testing.T) {
	s := newStack(t, 2)
	s.run(Duration)
	leader, standby := s.leaders()[0], s.all[0]
	if standby == leader {
		standby = s.all[1]
	}
	s.all = []*runner{standby}
	for standby.under == nil || standby.under.Kind != StepSwap {
		s.now = s.now.Add(10 * time.Millisecond)
		if s.begin(standby) && standby.under.Kind == StepRead {
			s.serve(standby)
			s.answer(standby, false)
		}
	}
	for range 3 {
		s.refuse(standby)
		s.now = s.now.Add(Retry)
		require.True(t, s.begin(standby))
		require.Equal(t, StepSwap, standby.under.Kind)
	}
	s.serve(standby)
	s.answer(standby, false)
	require.Equal(t, []*runner{standby}, s.leaders())
}

// A relay may remember more than a store that was wiped.
func TestANewTermIsHigherThanAnyThatARelayHasSeen(t *testing.T) {
	s := newStack(t, 1)
	s.run(Watch)
	s.all[0].Superseded(41)
	s.run(Duration)
	require.Equal(t, uint64(42), s.leaders()[0].Standing(s.now).Term)
}

// Relays remember their terms though a table was deleted: the leader that hears of them lets the next one begin above them.
func TestALostRecordIsMadeUpForAtOnce(t *testing.T) {
	c := NewCandidate("a", "")
	c.Read(start, Found{}, nil)
	c.Step(start)
	c.Swapped(start, nil)
	require.True(t, c.Standing(start).Leads)
	c.Superseded(57)
	require.False(t, c.Standing(start).Leads)
	back := c.Step(start.Add(Renew))
	require.Equal(t, StepSwap, back.Kind)
	require.Empty(t, back.Next.Holder)

	next := NewCandidate("b", "")
	next.Read(start, Found{Record: back.Next}, nil)
	require.EqualValues(t, 58, next.Step(start).Next.Term)
}

// What was lost begins elsewhere than it stood: a candidate that has not heard of the loss must not take the new record for the one that
// it has seen, once it stands as long.
func TestARecordThatWasLostIsNotTakenForTheOneBefore(t *testing.T) {
	s := newStack(t, 2)
	s.run(Duration)
	a, b := s.leaders()[0], s.all[0]
	if b == a {
		b = s.all[1]
	}
	seen := b.known.Version
	s.record = Record{}
	for range 20 {
		s.begin(a)
		s.serve(a)
		s.answer(a, false)
		s.now = s.now.Add(Renew)
		require.NotEqual(t, seen, s.record.Version)
	}
	require.Equal(t, a.me, s.record.Holder)
	s.begin(b)
	s.serve(b)
	require.Equal(t, a.me, s.record.Holder)
}

// A reach says which candidates the relay reaches. It attaches to the one that leads, as real ones do.
type reach map[string]bool

// runWithin lets everybody do what they can for a while, under a relay that reaches some. Whoever stops leading begins anew, as a process
// that its supervisor starts again.
func (s *stack) runWithin(d time.Duration, to reach) {
	for end := s.now.Add(d); s.now.Before(end); {
		for n, r := range s.all {
			standing := r.Standing(s.now)
			if standing.Leads && to[r.me] {
				r.Relays(s.now, []string{"p"}, s.now)
			} else if standing.Leads {
				r.Relays(s.now, nil, time.Time{})
			}
			if r.over && r.known.Holder != r.me && r.under == nil {
				s.all[n] = &runner{Candidate: NewCandidate(r.me, "")}
				s.all[n].Remote()
			}
		}
		s.run(20 * time.Millisecond)
	}
}

func (s *stack) leader() string {
	all := s.leaders()
	require.Len(s.t, all, 1)
	return all[0].me
}

// All relays are cut off from the leader, and reach the standby, while both reach the store.
func TestALeaderThatNoRelayReachesGivesWay(t *testing.T) {
	s := newRemoteStack(t, 2)
	s.runWithin(Duration, reach{"c0": true, "c1": true})
	first := s.leader()
	other := map[string]string{"c0": "c1", "c1": "c0"}[first]
	for range 3 {
		s.runWithin(Patience-2*Renew, reach{other: true})
		require.Equal(t, first, s.leader(), "relays may be back at any moment")
		s.runWithin(5*Renew, reach{other: true})
		require.Equal(t, other, s.leader())
		require.Zero(t, s.record.Alone, "one reaches the new leader")
		first, other = other, first
	}
}

// Both lead in turn, more and more rarely, if the relays themselves are away, and the one that they reach afterwards does so soon.
func TestLeadersThatNoRelayReachesTakeTurns(t *testing.T) {
	s := newRemoteStack(t, 2)
	s.runWithin(Duration, reach{"c0": true, "c1": true})
	begun := s.record.Term
	s.runWithin(3*Patience+10*Renew, reach{})
	require.Equal(t, begun+2, s.record.Term)
	s.runWithin(time.Hour, reach{})
	require.Less(t, s.record.Term, begun+25)
	last := s.leader()
	s.runWithin(MostPatience+10*Renew, reach{map[string]string{"c0": "c1", "c1": "c0"}[last]: true})
	require.NotEqual(t, last, s.leader())
}

func TestALoneLeaderThatNoRelayReachesLeadsAgain(t *testing.T) {
	s := newRemoteStack(t, 1)
	s.runWithin(Duration, reach{"c0": true})
	s.runWithin(Patience+5*Renew, reach{})
	require.Equal(t, "c0", s.leader())
	require.EqualValues(t, 2, s.record.Term)
}

// The first relay of all may come minutes after the control planes.
func TestALeaderWaitsForTheFirstRelay(t *testing.T) {
	s := newRemoteStack(t, 2)
	s.runWithin(10*MostPatience, reach{})
	require.EqualValues(t, 1, s.record.Term)
}

// Where relay and control planes are on one host, no other leader could do better.
func TestALeaderBesideItsRelayStays(t *testing.T) {
	s := newStack(t, 2)
	s.runWithin(Duration, reach{"c0": true, "c1": true})
	s.runWithin(10*Patience, reach{})
	require.EqualValues(t, 1, s.record.Term)
}

// What a former leader has known of relays counts for the next one, which they may never reach.
func TestALeaderThatRelaysHaveNeverReachedGivesWay(t *testing.T) {
	s := newRemoteStack(t, 2)
	s.runWithin(Duration, reach{"c0": true, "c1": true})
	first := s.leaders()[0]
	first.Leave(s.now)
	s.run(2 * Watch)
	next := s.leader()
	require.NotEqual(t, first.me, next)
	for n, r := range s.all {
		if r.Candidate == first.Candidate {
			s.all[n] = &runner{Candidate: NewCandidate(first.me, "")}
			s.all[n].Remote()
		}
	}
	s.runWithin(Patience+5*Renew, reach{first.me: true})
	require.Equal(t, first.me, s.leader())
}

func newRemoteStack(t require.TestingT, n int) *stack {
	s := newStack(t, n)
	for _, r := range s.all {
		r.Remote()
	}
	return s
}

// A renewal whose answer was lost may reach the store later than its holder reads there, and before it renews again. Others count from when
// they saw it, and so must the holder.
func TestARenewalThatArrivesLateEndsNoLater(t *testing.T) {
	s := newStack(t, 2)
	leader, standby := s.all[0], s.all[1]
	s.run(100 * time.Millisecond)
	require.Equal(t, []*runner{leader}, s.leaders())
	for !s.begin(leader) {
		s.now = s.now.Add(10 * time.Millisecond)
	}
	s.answer(leader, true)
	for !s.begin(leader) {
		s.now = s.now.Add(10 * time.Millisecond)
	}
	s.serve(leader) // it reads what stood there before
	s.arriveLate()
	for !s.begin(standby) {
		s.now = s.now.Add(10 * time.Millisecond)
	}
	s.serve(standby)
	s.answer(standby, false)
	s.now = s.now.Add(time.Second) // the answer takes its time
	s.answer(leader, false)
	require.True(t, s.begin(leader))
	s.serve(leader)
	s.answer(leader, false)
	// From now on only the standby reaches the store.
	for range 500 {
		s.now = s.now.Add(10 * time.Millisecond)
		s.begin(standby)
		s.serve(standby)
		s.answer(standby, false)
		s.check()
	}
	require.Equal(t, []*runner{standby}, s.leaders())
}
