package cell

import (
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
)

var errLost = errors.New("lost")

// A store keeps the record of the lease. Requests and answers take their time, and may be lost.
type store struct {
	*world
	record  lease.Record
	away    time.Time // until then nobody reaches it
	lost    bool
	renewed map[string]time.Time // by holder: when it last wrote its name into the record
	file    bool                 // of the planes' host: whether the holder lives is known
}

// do carries a step of a plane out.
func (s *store) do(p *plane, step lease.Step, answer func(found lease.Found, err error)) {
	lost := s.now.Before(s.away) || s.now.Before(p.cutOff) || !s.calm && s.chance(2)
	if lost {
		p.later(maxStep, func() { answer(lease.Found{}, errLost) })
		return
	}
	life := p.life
	s.after(s.delay(), func() {
		found, err := s.apply(step)
		if !s.calm && s.chance(2) {
			p.when(s.now.Add(maxStep), life, func() { answer(lease.Found{}, errLost) })
			return
		}
		answered := lease.Found{Record: found, Gone: s.file && s.gone(found.Holder)}
		p.when(s.now.Add(s.delay()), life, func() { answer(answered, err) })
	})
}

const maxStep = 2 * time.Second

func (s *store) delay() time.Duration { return s.between(200*time.Microsecond, 8*time.Millisecond) }

func (s *store) apply(step lease.Step) (lease.Record, error) {
	switch {
	case step.Kind == lease.StepRead:
	case step.Seen != s.record.Version:
		return s.record, &lease.ConflictError{Now: s.record}
	default:
		if step.Next.Term < s.record.Term {
			s.broken("term %d follows term %d", step.Next.Term, s.record.Term)
		}
		s.record = step.Next
		s.renewed[step.Next.Holder] = s.now
	}
	return s.record, nil
}

// gone tells whether a holder surely lives no more.
func (s *store) gone(holder string) bool {
	for _, p := range s.planes {
		if holder == p.name() {
			return p.dead
		}
	}
	return holder != ""
}
