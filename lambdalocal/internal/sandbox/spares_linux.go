package sandbox

import (
	"sync"
	"time"
)

// spareCount is how many sandboxes are made ahead, so that a start need not wait for the kernel.
const spareCount = 4

// restockPause lies between two of them, so that the start that took a spare has the machine for itself.
const restockPause = 30 * time.Millisecond

// Spares are sandboxes that nobody has yet.
type spares struct {
	make  func() (*Sandbox, error)
	ready chan *Sandbox
	stop  chan struct{}
	ended sync.WaitGroup
}

func (s *spares) start(one func() (*Sandbox, error)) {
	s.make, s.ready, s.stop = one, make(chan *Sandbox, spareCount-1), make(chan struct{})
	s.ended.Go(s.fill)
}

// take makes one where there is none: a crowd does not queue.
func (s *spares) take() (*Sandbox, error) {
	select {
	case b := <-s.ready:
		if b != nil {
			return b, nil
		}
	default:
	}
	return s.make()
}

// fill ends with the first failure: whoever takes one then learns of it.
func (s *spares) fill() {
	defer close(s.ready)
	for {
		b, err := s.make()
		if err != nil {
			return
		}
		select {
		case s.ready <- b:
			s.pause()
		case <-s.stop:
			b.release()
			return
		}
	}
}

func (s *spares) pause() {
	timer := time.NewTimer(restockPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stop:
	}
}

func (s *spares) close() {
	close(s.stop)
	s.ended.Wait()
	for b := range s.ready {
		b.release()
	}
}
