package controlplane

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relay"
)

// A succession waits for a process before us that uses the same state directory, and is about to end.
type succession struct {
	dir      string
	patience time.Duration // how long it may take
	log      logrus.FieldLogger
	waited   bool
}

// How a predecessor is waited for.
const (
	succeedsEvery = 50 * time.Millisecond
	// lastSteps are those between the end of what a process does and that of the process.
	lastSteps = 5 * time.Second
)

// open opens what one process alone can have. The error says who has it.
func (s *succession) open(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	for {
		err := try()
		if !s.passes(err) {
			return err
		}
		if !s.waited {
			s.waited = true
			s.log.WithFields(logrus.Fields{"state_dir": s.dir, "at_most": s.patience}).
				Warn("another process uses the state directory: waiting for it to end")
		}
		if !pause.For(ctx, succeedsEvery) {
			return s.named(err)
		}
	}
}

// passes tells whether what is wrong ends with the predecessor. One that has given up the directory may not have given up its
// last address yet.
func (s *succession) passes(err error) bool {
	return errors.Is(err, relay.ErrDirInUse) || s.waited && errors.Is(err, syscall.EADDRINUSE)
}

func (s *succession) named(err error) error {
	if errors.Is(err, relay.ErrDirInUse) {
		return fmt.Errorf("state_dir: another process uses %s, and has not ended meanwhile", s.dir)
	}
	return err
}
