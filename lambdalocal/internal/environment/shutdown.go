package environment

import (
	"context"
	"time"
)

// Grace times of a shutdown, as in Lambda. Without extensions there is none.
const (
	graceWithExternal = 2 * time.Second
	graceWithInternal = 500 * time.Millisecond
	// runtimeShare is how much of the grace time the runtime may use where extensions come after it.
	runtimeShare = 0.3
)

// shutdown lets the processes end by themselves for the grace time. A second call does nothing.
func (b *boot) shutdown(reason Reason) {
	b.farewell.Do(func() { b.awaitEnd(reason) })
}

// awaitEnd ends the runtime first, so that extensions see the last of its logs, then the extensions.
func (b *boot) awaitEnd(reason Reason) {
	external, internal := b.beginShutdown()
	if external == 0 && internal == 0 {
		return
	}
	grace, ofRuntime := graceWithInternal, graceWithInternal
	if external > 0 {
		grace = graceWithExternal
		ofRuntime = time.Duration(runtimeShare * float64(grace))
	}
	deadline := time.Now().Add(grace)
	b.thaw()
	b.endRuntime(time.Now().Add(ofRuntime))
	b.endExtensions(reason, deadline)
}

// beginShutdown counts the extensions, whose processes may end from now on.
func (b *boot) beginShutdown() (external, internal int) {
	b.update(func() {
		b.stopping = true
		for _, x := range b.extensions {
			if x.external {
				external++
			} else {
				internal++
			}
		}
	})
	return external, internal
}

// endRuntime ends the runtime and the companions.
func (b *boot) endRuntime(deadline time.Time) {
	var ending []*child
	for _, c := range b.children() {
		if c.kind != extern {
			c.Terminate()
			ending = append(ending, c)
		}
	}
	for _, c := range ending {
		awaitOrKill(c, deadline)
	}
}

// endExtensions sends SHUTDOWN to the extensions that asked for it, and kills all others.
func (b *boot) endExtensions(reason Reason, deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	b.events.Flush(ctx)
	told := b.tellExtensions(shutdownEvent(reason, deadline))
	for _, c := range b.children() {
		if c.kind == extern && !told[c.name] {
			c.Kill()
		}
	}
	for _, c := range b.children() {
		if c.kind == extern && told[c.name] {
			awaitOrKill(c, deadline)
		}
	}
}

func (b *boot) tellExtensions(e event) (told map[string]bool) {
	told = map[string]bool{}
	b.update(func() {
		for _, x := range b.extensions {
			x.offer(e)
			told[x.name] = len(x.events) > 0
		}
	})
	return told
}

func awaitOrKill(c *child, deadline time.Time) {
	over := time.NewTimer(time.Until(deadline))
	defer over.Stop()
	select {
	case <-c.Done():
	case <-over.C:
		c.Kill()
		<-c.Done()
	}
}
