package tables

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// notes carries the stream until nobody has anything to say, and returns the notes that the leader was told.
func (s *stack) notes() (out []string) {
	for again := true; again; {
		again = s.leaderSends() || s.relaySends() || s.relayReceives()
		for _, o := range s.toLead {
			events, err := s.mirror.Receive(s.now, o)
			require.NoError(s.t, err)
			for _, e := range events {
				if n, ok := e.(Noted); ok {
					out = append(out, string(n.Text))
				}
			}
			again = true
		}
		s.toLead = nil
	}
	return out
}

func (s *stack) note(text string) {
	s.mirror.Note(s.now, Note{Function: "web", Term: s.term, Number: 1, Text: []byte(text)})
}

// A leader whose relay attaches late is told what the leader before has left there, before it leaves its own.
func TestANoteIsToldBeforeItIsReplaced(t *testing.T) {
	s := newStack(t)
	s.attach()
	s.note("first")
	require.Empty(t, s.notes())
	s.takeOver()
	s.note("second")
	s.attach()
	require.Equal(t, []string{"first"}, s.notes())
	require.Equal(t, "second", string(s.keeper.notes["web"].Text))
}

// A leader that loses a stream does not take its own notes for those of another.
func TestALeaderIsNotToldItsOwnNotes(t *testing.T) {
	s := newStack(t)
	s.attach()
	s.note("first")
	require.Empty(t, s.notes())
	s.attach()
	require.Empty(t, s.notes())
}

// A relay that answers a ping has heard all that was said before, also when another ping was out already.
func TestAPingFollowsWhatWasSaid(t *testing.T) {
	s := newStack(t)
	s.attach()
	s.settle()
	s.mirror.Ping()
	require.True(t, s.leaderSends())
	s.now = s.now.Add(time.Second)
	asked := s.now
	for i := range 20 { // more than one message holds
		s.mirror.Note(s.now, Note{Function: "f" + strconv.Itoa(i), Term: s.term, Number: 1, Text: make([]byte, MaxNote)})
	}
	s.mirror.Ping()
	for s.mirror.Confirmed().Before(asked) {
		require.True(t, s.leaderSends() || s.relayReceives() || s.relaySends() || s.leaderReceives(), "the second ping was forgotten")
	}
	require.Equal(t, 20, s.keeper.Notes())
}

// Whatever peers say, no message is longer than a leader takes.
func TestMessagesHoldWhatPeersSay(t *testing.T) {
	s := newStack(t)
	s.attach()
	for i := range 2 * maxItems {
		s.expect(strconv.Itoa(i))
	}
	s.settle()
	noise := strings.Repeat("\x01", wire.MaxDetail)
	for id := range s.relay {
		s.keeper.Waiting(s.now, Waiting{Instance: id, Environment: strings.Repeat("e", wire.MaxID), What: noise})
		s.keeper.Lost(id, noise)
		s.end(id, End{Cause: EndBroken, Detail: noise})
	}
	s.settle()
	require.Len(t, s.mirror.instances, 0)
}
