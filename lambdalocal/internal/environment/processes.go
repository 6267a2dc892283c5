package environment

import (
	"context"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/process"
)

// A kind says what a program is to Lambda.
type kind uint8

const (
	command   kind = iota // the runtime
	extern                // an external extension
	companion             // a program that calls none of the APIs
)

// A program is what a process runs.
type program struct {
	name string
	argv []string
	kind kind
}

// A child is one of the processes, at the head of its group.
type child struct {
	*process.Group
	program
}

// launch starts one process, unless the boot has failed already, and watches it.
func (b *boot) launch(p program) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault != nil {
		return b.fault
	}
	c := &child{program: p}
	spec := process.Spec{
		Argv: b.env.expandAll(p.argv), Dir: b.env.dir(), Env: b.env.variables(b.addr, p.kind),
		Enter: b.env.enter(), Limits: b.env.cfg.Limits,
		Line: func(text string) { b.output(c, text) },
	}
	b.env.confine(&spec)
	group, err := process.Start(spec)
	switch {
	case err != nil && p.kind == extern:
		return extensionNotLaunched(err)
	case err != nil:
		return invalidEntrypoint(err)
	}
	c.Group = group
	b.processes = append(b.processes, c)
	b.ended.Go(func() { b.watch(c) })
	return nil
}

func (b *boot) output(c *child, text string) {
	b.env.line(c.name, text)
	b.env.output.add(text)
	source := "function"
	if c.kind == extern {
		source = "extension"
	}
	b.events.Emit(source, text)
}

// watch makes the end of a process a failure, except during a shutdown, or if a companion ends with status 0.
func (b *boot) watch(c *child) {
	<-c.Done()
	b.mu.Lock()
	expected := b.stopping || c.kind == companion && c.ExitReason() == ""
	b.mu.Unlock()
	switch {
	case expected:
	case b.env.outOfMemory():
		b.fail(outOfMemory())
	case c.kind == extern:
		b.fail(extensionExited(c.ExitReason()))
	default:
		b.fail(runtimeExited(c.ExitReason()))
	}
}

func (b *boot) children() []*child {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.processes[:len(b.processes):len(b.processes)]
}

func (b *boot) pids() []int {
	var pids []int
	for _, c := range b.children() {
		pids = append(pids, c.PID())
	}
	return pids
}

func (b *boot) freeze() {
	b.frozen.Store(true)
	for _, c := range b.children() {
		c.Freeze()
	}
	if b.env.limits != nil {
		b.env.limits.Freeze()
	}
}

func (b *boot) thaw() {
	b.frozen.Store(false)
	if b.env.limits != nil {
		b.env.limits.Thaw()
	}
	for _, c := range b.children() {
		c.Thaw()
	}
}

// kill ends all processes and lets none start any more.
func (b *boot) kill() {
	b.fail(runtimeExited("signal: killed"))
	for _, c := range b.children() {
		c.Kill()
	}
}

// stop kills what is left. It closes the listener only after the processes have ended, so that no port is given out again
// while somebody still calls it.
func (b *boot) stop() {
	b.update(func() { b.stopping = true })
	b.kill()
	for _, c := range b.children() {
		<-c.Done()
	}
	if b.env.limits != nil {
		b.env.limits.Kill()
	}
	_ = b.wait(context.Background(), func() bool {
		b.closed = b.answering == 0
		return b.closed
	})
	hangUp(b.door)
	_ = b.server.Close()
	b.events.Close()
	b.ended.Wait()
}
