package main

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// restartAfter is how soon a part that has ended is started again.
const restartAfter = 100 * time.Millisecond

// A part is a process that is started again whenever it ends.
type part struct {
	start  func() (child, error)
	struck sync.Mutex // held by the fault that strikes it

	mu  sync.Mutex
	now child
}

// A child is a process that runs, or has ended.
type child struct {
	pid   int
	ended <-chan struct{}
}

// keep starts the part, and again whenever it ends, until ctx does.
func (p *part) keep(ctx context.Context) error {
	if err := p.again(); err != nil {
		return err
	}
	go func() {
		for {
			select {
			case <-p.child().ended:
			case <-ctx.Done():
				return
			}
			if sleep(ctx, restartAfter); ctx.Err() != nil {
				return
			}
			_ = p.again() // one that could not start has ended: it is tried again
		}
	}()
	return nil
}

func (p *part) again() error {
	now, err := p.start()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
	return nil
}

func (p *part) child() child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// end sends a signal that ends the part, and returns when it runs again.
func (p *part) end(ctx context.Context, signal syscall.Signal) error {
	before := p.child()
	if err := syscall.Kill(before.pid, signal); err != nil {
		return err
	}
	for p.child().pid == before.pid && ctx.Err() == nil {
		sleep(ctx, 5*time.Millisecond)
	}
	return nil
}

// pause stops the part, and lets it go on after d or when ctx ends.
func (p *part) pause(ctx context.Context, d time.Duration) error {
	pid := p.child().pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	sleep(ctx, d)
	return syscall.Kill(pid, syscall.SIGCONT)
}
