package cell

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

// Times of the streams, as package uplink has them.
const (
	pingEvery = 500 * time.Millisecond
	maxSilent = 4
	gap       = time.Millisecond
)

// A stream joins a relay to a plane. Each way is in order.
type stream struct {
	*world
	relay              *relay
	plane              *plane
	relayLife          int
	planeLife          int
	session            tables.Session
	mirror             *tables.Mirror // the plane's end; nil until the greeting has come
	upAt, downAt       time.Time      // when the last message each way arrives
	silent             bool           // nothing arrives any more, and nobody is told
	relayEnd, planeEnd end
}

// An end is what one side knows of a stream.
type end struct {
	over    bool
	unheard int
	pumping bool
}

func (s *stream) delay() time.Duration {
	if s.chance(3) {
		return s.between(time.Millisecond, 400*time.Millisecond)
	}
	return s.between(20*time.Microsecond, 2*time.Millisecond)
}

// toPlane carries a message, or the news that the relay's end is gone.
func (s *stream) toPlane(arrive func()) {
	if s.silent {
		return
	}
	s.upAt = later(s.upAt, s.now.Add(s.delay()))
	s.plane.when(s.upAt, s.planeLife, func() {
		if !s.planeEnd.over && !s.silent {
			s.planeEnd.unheard = 0
			arrive()
		}
	})
}

func (s *stream) toRelay(arrive func()) {
	if s.silent {
		return
	}
	s.downAt = later(s.downAt, s.now.Add(s.delay()))
	s.relay.when(s.downAt, s.relayLife, func() {
		if !s.relayEnd.over && !s.silent {
			s.relayEnd.unheard = 0
			arrive()
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// endRelay ends the relay's end; the plane hears of it in time, unless the stream is silent.
func (s *stream) endRelay() {
	if !s.relayEnd.over {
		s.relayEnd.over = true
		s.relay.ended(s)
		s.toPlane(s.endPlane)
	}
}

func (s *stream) endPlane() {
	if !s.planeEnd.over {
		s.planeEnd.over = true
		s.plane.ended(s)
		s.toRelay(s.endRelay)
	}
}

// reset breaks the stream for both.
func (s *stream) reset() {
	s.relay.when(s.now, s.relayLife, s.endRelay)
	s.plane.when(s.now, s.planeLife, s.endPlane)
}

// pumpRelay sends what the keeper has to say, a message at a time.
func (s *stream) pumpRelay() {
	if s.relayEnd.pumping || s.relayEnd.over {
		return
	}
	o, ok := s.relay.keeper.Next(s.now, s.session)
	if !ok {
		return
	}
	s.toPlane(func() { s.plane.receive(s, o) })
	s.relayEnd.pumping = true
	s.relay.when(s.now.Add(gap), s.relayLife, func() {
		s.relayEnd.pumping = false
		s.pumpRelay()
	})
}

func (s *stream) pumpPlane() {
	if s.planeEnd.pumping || s.planeEnd.over || s.mirror == nil {
		return
	}
	d, ok := s.mirror.Next(s.now)
	if !ok {
		return
	}
	s.toRelay(func() { s.relay.receive(s, d) })
	s.planeEnd.pumping = true
	s.plane.when(s.now.Add(gap), s.planeLife, func() {
		s.planeEnd.pumping = false
		s.pumpPlane()
	})
}

// tickRelay gives a stream up on which nothing is heard.
func (s *stream) tickRelay() {
	if s.relayEnd.unheard++; s.relayEnd.unheard > maxSilent {
		s.endRelay()
	}
}

func (s *stream) tickPlane() {
	if s.planeEnd.unheard++; s.planeEnd.unheard > maxSilent {
		s.endPlane()
		return
	}
	if s.mirror != nil {
		s.mirror.Ping()
		s.pumpPlane()
	}
}
