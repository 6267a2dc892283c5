package environment

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/guard"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/patient"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/telemetry"
)

// A boot is one start of an environment's processes, with the listener of the APIs that they call.
//
// Everything that may be waited for is state under mu; each change of it wakes all who wait.
type boot struct {
	env    *Environment
	door   net.Listener
	server *http.Server
	addr   string
	events *telemetry.Hub
	dead   chan struct{}  // closed with the first failure
	ended  sync.WaitGroup // the server, its handlers, the watchers of processes

	farewell sync.Once // the shutdown's grace time
	frozen   atomic.Bool

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced at each change
	fault      *Failure      // the first
	initOver   bool
	stopping   bool // processes may end
	closed     bool // no call is answered any more
	answering  int  // calls that end the environment, and have no answer yet
	runtime    runtimeState
	waiting    int // calls of /invocation/next that wait
	inv        *invocation
	reserved   int                    // places for invocations that will be under way in a moment
	beside     map[string]*invocation // by id: those under way on Managed Instances
	queue      []*invocation          // of those, which no worker has taken yet
	late       map[string]bool        // ids of invocations that timed out, and which a worker still has
	workers    int                    // most that the runtime has shown
	extensions []*extension
	processes  []*child
}

func newBoot(e *Environment) (*boot, error) {
	listener, err := e.listen()
	if err != nil {
		return nil, fmt.Errorf("runtime API: %w", err)
	}
	b := &boot{
		env: e, door: listener, addr: listener.Addr().String(), events: telemetry.NewHub(e.dialer(), e.log), runtime: runtimeStarted,
		dead: make(chan struct{}), changed: make(chan struct{}), beside: map[string]*invocation{}, late: map[string]bool{},
	}
	handler := b.handler()
	if e.inside == nil { // else only its own processes reach it, and they may say what they like of themselves, as in Lambda
		handler = guard.Processes(handler)
	}
	b.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	b.ended.Go(func() { _ = b.server.Serve(patient.Listener(listener, e.cfg.Log)) })
	return b, nil
}

// wait blocks until condition holds, which is called with mu held, and returns the context's cause if that ends first.
func (b *boot) wait(ctx context.Context, condition func() bool) error {
	for {
		b.mu.Lock()
		holds, changed := condition(), b.changed
		b.mu.Unlock()
		if holds {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waitUnlessFailed is wait that ends with the boot's failure, too, which it returns.
func (b *boot) waitUnlessFailed(ctx context.Context, condition func() bool) error {
	err := b.wait(ctx, func() bool { return b.fault != nil || condition() })
	if f := b.failure(); f != nil {
		return f
	}
	return err
}

// update changes state and wakes all who wait.
func (b *boot) update(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	b.wakeLocked()
}

func (b *boot) wakeLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// failBy is fail for a call that reports the failure, and answers it. What the failure ends waits for the answer.
func (b *boot) failBy(w http.ResponseWriter, f *Failure) {
	b.update(func() { b.answering++ })
	defer b.update(func() { b.answering-- })
	b.fail(f) // before the process that calls can exit
	accept(w)
}

// fail marks the boot as failed. Only the first failure counts.
func (b *boot) fail(f *Failure) {
	b.update(func() {
		if b.fault == nil {
			b.fault = f
			close(b.dead)
		}
	})
}

func (b *boot) failure() *Failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fault
}

// init starts the extensions, then the command, and waits until all of them have asked for the first event.
func (b *boot) init(ctx context.Context, phase string) error {
	began := time.Now()
	b.events.Emit("platform.initStart", b.env.initStart(phase))
	err := b.startAll(ctx)
	if err == nil {
		err = b.waitUnlessFailed(ctx, b.runtimeIdleLocked)
	}
	b.events.Emit("platform.initRuntimeDone", b.env.initDone(phase, err, nil))
	if err == nil {
		err = b.waitUnlessFailed(ctx, b.idleLocked)
	}
	b.announceExtensions()
	took := time.Since(began)
	b.events.Emit("platform.initReport", b.env.initDone(phase, err, &took))
	b.events.Shut()
	b.update(func() { b.initOver = true })
	return err
}

// startAll starts the companions, then the extensions, and when all of these have registered the command.
func (b *boot) startAll(ctx context.Context) error {
	for _, argv := range b.env.cfg.Processes {
		if err := b.launch(program{name: filepath.Base(argv[0]), argv: argv, kind: companion}); err != nil {
			return err
		}
	}
	for _, x := range b.env.cfg.Extensions {
		if err := b.launch(program{name: x.Name, argv: x.Argv, kind: extern}); err != nil {
			return err
		}
	}
	if err := b.awaitRegistrations(ctx); err != nil {
		return err
	}
	argv := b.env.cfg.Command
	if err := b.launch(program{name: filepath.Base(argv[0]), argv: argv, kind: command}); err != nil {
		return err
	}
	if b.env.cfg.EnforceMemory {
		b.ended.Go(b.watchMemory)
	}
	return nil
}

// awaitRegistrations waits for as long as ctx allows. An error names the first extension that has not registered.
func (b *boot) awaitRegistrations(ctx context.Context) error {
	err := b.waitUnlessFailed(ctx, func() bool { return b.unregisteredLocked() == "" })
	if err == nil || b.failure() != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Errorf("%w: the extension %s has not registered", err, b.unregisteredLocked())
}

func (b *boot) unregisteredLocked() string {
	for _, x := range b.env.cfg.Extensions {
		if b.externalLocked(x.Name) == nil {
			return x.Name
		}
	}
	return ""
}

// idleLocked tells whether the runtime and every extension have asked for their next event.
func (b *boot) idleLocked() bool {
	for _, x := range b.extensions {
		if !x.idle() {
			return false
		}
	}
	return b.runtimeIdleLocked()
}

func (b *boot) runtimeIdleLocked() bool { return b.runtime == runtimeReady && b.waiting > 0 }

// invoke hands the invocation out and waits until the runtime has answered and, like every extension, asked for the next
// event. An answer given before a process failed counts.
func (b *boot) invoke(ctx context.Context, inv *invocation) (*answer, error) {
	defer inv.endStream()
	b.events.Emit("platform.start", startRecord(inv))
	b.update(func() {
		b.inv, inv.offered = inv, time.Now()
		for _, x := range b.extensions {
			x.offer(invokeEvent(inv))
		}
	})
	defer b.update(func() { b.inv = nil })
	err := b.waitUnlessFailed(ctx, func() bool { return inv.answer != nil && b.runtimeIdleLocked() })
	if b.mustEnd(err) { // the function may still answer in its grace time
		b.shutdown(Spindown)
	}
	a, failed := b.outcome(inv, err)
	b.events.Emit("platform.runtimeDone", b.runtimeDone(inv, a, failed))
	if err != nil {
		return a, failed
	}
	err = b.waitUnlessFailed(ctx, b.idleLocked)
	if b.mustEnd(err) {
		b.shutdown(Spindown)
	}
	b.update(func() {
		if err == nil && len(b.extensions) > 0 {
			inv.idle = time.Now()
		}
	})
	return b.outcome(inv, err)
}

// missed tells of an invocation that its own init has failed: it never came to the runtime.
func (b *boot) missed(inv *invocation, err error) {
	b.events.Emit("platform.start", startRecord(inv))
	b.events.Emit("platform.runtimeDone", b.runtimeDone(inv, nil, err))
}

// mustEnd tells whether the wait ended because the environment was told to end, and not because the function failed.
func (b *boot) mustEnd(err error) bool {
	return err != nil && !isTimeout(err) && b.failure() == nil
}

// outcome is the answer, or why there is none that counts.
func (b *boot) outcome(inv *invocation, err error) (*answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case inv.answer == nil || isTimeout(err):
		return nil, err
	case inv.answer.truncated && err != nil:
		return nil, err
	default:
		return inv.answer, nil
	}
}
