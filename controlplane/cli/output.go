package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
)

// An output is where commands print. It remembers the first write that failed, so that no command has to.
type output struct {
	to io.Writer

	mu     sync.Mutex // guards failed
	failed error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if err != nil {
		o.mu.Lock()
		o.failed = cmp.Or(o.failed, err)
		o.mu.Unlock()
	}
	return n, err
}

// check is how a command has ended that returned err: with a write that failed, if it failed by nothing else. That nobody reads any
// more is no error: `| head` has what it wants.
func (o *output) check(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.failed == nil, err != nil && !errors.Is(err, o.failed):
		return err
	case errors.Is(o.failed, syscall.EPIPE):
		return nil
	}
	return fmt.Errorf("output: %w", o.failed)
}
