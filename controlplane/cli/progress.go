package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// reportEvery is how often a simulation reports its progress. A shorter one reports nothing.
const reportEvery = 2 * time.Second

// A progress counts the steps of a simulation, and stops it when its context ends.
type progress struct {
	ctx   context.Context
	out   io.Writer
	began time.Time

	mu       sync.Mutex // guards the fields below
	stage    string
	steps    int // of this stage that have begun
	reported time.Time
}

func newProgress(ctx context.Context, out io.Writer) *progress {
	now := time.Now()
	return &progress{ctx: ctx, out: out, began: now, reported: now}
}

// enter names what the next steps are for.
func (p *progress) enter(stage string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stage, p.steps = stage, 0
}

// before is called before each step, from any goroutine.
func (p *progress) before() error {
	if p.ctx.Err() != nil {
		return errors.New("interrupted")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps++
	if now := time.Now(); now.Sub(p.reported) >= reportEvery {
		p.reported = now
		fmt.Fprintf(p.out, "simulate: %v, %s, step %d\n", now.Sub(p.began).Round(time.Second), p.stage, p.steps)
	}
	return nil
}
