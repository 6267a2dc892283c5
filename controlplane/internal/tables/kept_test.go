package tables

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A relay and its leader end at the same moment: the next ones find what runs, with its age, its claim and its orders.
func TestWhatRunsOutlivesRelayAndLeader(t *testing.T) {
	s := newStack(t)
	s.restartRelayWithBook()
	s.attach()
	for _, id := range []string{"up", "starts", "drains", "ended"} {
		s.expect(id)
	}
	s.settle()
	s.now = s.now.Add(3 * time.Second)
	for _, id := range []string{"up", "drains", "ended"} {
		s.up(id)
	}
	s.mirror.Drain("drains", wire.ReasonScaleIn)
	s.settle()
	s.now = s.now.Add(2 * time.Second)
	s.end("ended", End{Cause: EndControlEnded})

	kept := s.keeper.Kept(s.now)
	s.restartRelay(s.keeper.Term())
	s.now = s.now.Add(time.Second)
	for n := range kept {
		kept[n] = through(t, kept[n], DecodeKept)
		kept[n].Ago = time.Second
	}
	commands := map[string]Expectation{}
	for _, c := range s.keeper.Remember(s.now, kept) {
		switch c := c.(type) {
		case Expect:
			commands[c.Instance] = c.Expectation
		case Drain:
			require.Equal(t, Drain{"drains", wire.ReasonScaleIn}, c)
		}
	}
	require.Len(t, commands, 3)
	require.Equal(t, Redial, commands["up"].Expires.Duration(), "its peer dials soon, or is not there any more")
	require.Equal(t, 54*time.Second, commands["starts"].Expires.Duration(), "a start has the time that it had")

	s.takeOver()
	s.mirror.Attach(s.keeper.Greeting())
	told := map[string]Instance{}
	for again := true; again; {
		again = s.leaderSends() || s.relayReceives()
		if o, ok := s.keeper.Next(s.now, s.session); ok {
			again = true
			for _, i := range o.Instances {
				told[i.ID] = i
			}
			_, err := s.mirror.Receive(s.now, o)
			require.NoError(t, err)
		}
	}
	require.Len(t, told, 4)
	require.Equal(t, PhaseEnded, told["ended"].Phase)
	require.Equal(t, []any{5 * time.Second, 2 * time.Second}, []any{told["ended"].Age.Duration(), told["ended"].UpFor.Duration()})
	up := told["up"]
	require.Equal(t, PhaseExpected, up.Phase, "it has not dialled this relay")
	require.Equal(t, []any{6 * time.Second, 3 * time.Second, "e", 1.0, "web/0001", "m"},
		[]any{up.Age.Duration(), up.UpFor.Duration(), up.Environment, up.Dollars, up.Endpoint, string(up.Memo)})
	require.Equal(t, wire.ReasonScaleIn, told["drains"].Drain)
}

// Whatever the relay's clock did, an instance that is not there any more is not kept for ever, nor let go at once.
func TestTimesThatMakeNoSense(t *testing.T) {
	for _, ago := range []time.Duration{0, 1000 * time.Hour} {
		k := NewKeeper(Hello{Relay: "pair", Boot: "b"}, 0)
		commands := k.Remember(start, []Kept{{Instance: Instance{ID: "a", Function: "web", Endpoint: "web/0001"}, Ago: ago}})
		require.Len(t, commands, 1)
		require.Equal(t, Redial, commands[0].(Expect).Expires.Duration())
	}
}

// A relay that was away for a night knows that nothing of what ran before can run now, also if it is started twice.
func TestWhatMustHaveEndedLongAgoIsNotRemembered(t *testing.T) {
	s := newStack(t)
	s.restartRelayWithBook()
	s.attach()
	for _, id := range []string{"up", "ended", "starts"} {
		s.expect(id)
	}
	s.settle()
	s.up("up")
	s.up("ended")
	s.end("ended", End{Cause: EndControlEnded})
	remembered := func(kept []Kept, ago time.Duration) []Kept {
		s.now = s.now.Add(ago)
		for n := range kept {
			kept[n].Ago = ago
		}
		s.restartRelay(s.keeper.Term())
		s.keeper.Remember(s.now, kept)
		return s.keeper.Kept(s.now)
	}
	kept := remembered(remembered(s.keeper.Kept(s.now), time.Minute), time.Minute-time.Second)
	require.Len(t, kept, 3)
	require.Empty(t, remembered(kept, 8*time.Hour))
}
