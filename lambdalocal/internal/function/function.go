// Package function places the invocations of one function on its environments: an idle one of the right version if there is
// any, else a new one, within the limits of the account and of the function.
package function

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// A Function has environments. Each environment belongs to one goroutine from its creation to its end.
type Function struct {
	cfg   Config
	lives sync.WaitGroup // goroutines that own environments

	events  sync.WaitGroup // goroutines that own events
	closing context.Context
	close   context.CancelFunc

	mu       sync.Mutex
	closed   bool
	versions map[string]*version // by name
	order    []string            // of the published ones, oldest first
	aliases  []Alias
	counters Counters
	rate     bucket
	all      map[string]*life
}

// New returns a function without environments.
func New(cfg Config) *Function {
	f := &Function{
		cfg: cfg, rate: newBucket(cfg.ScalingRate), aliases: slices.Clone(cfg.Aliases),
		versions: map[string]*version{Latest: newVersion(Version{Config: cfg.Config, Modified: cfg.Modified})},
		all:      map[string]*life{},
		counters: Counters{Outcomes: map[environment.Outcome]int{}, Events: EventCounters{Dropped: map[Drop]int{}}},
	}
	for i := range f.aliases {
		f.aliases[i].Revision = uuid.New()
	}
	for _, v := range cfg.Versions {
		v.Modified = cfg.Modified
		f.versions[v.Version] = newVersion(v)
		f.order = append(f.order, v.Version)
	}
	f.closing, f.close = context.WithCancel(context.Background())
	return f
}

// Start begins to initialise the environments that are there ahead of invocations.
func (f *Function) Start() {
	if f.cfg.Managed != nil {
		f.startManaged()
		return
	}
	for _, v := range f.cfg.Versions {
		if v.Provisioned > 0 {
			_ = f.Provision(v.Version, v.Provisioned) // fails for Latest only
		}
	}
}

// Config is what New got. It must not be changed. Versions and aliases may have changed since.
func (f *Function) Config() *Config { return &f.cfg }

// A Call is an invocation as its caller wants it.
type Call struct {
	environment.Invocation
	Front ledger.Front
	Log   bool // the caller wants the log's tail, and so waits for the end of the invocation
}

// Invoke runs one invocation, of a version that Resolve returned, and waits for its answer. The environment may be busy for longer;
// unless Log is set, the result then describes only the answer. The invocation continues when ctx ends. The error is a
// *serviceerror.Error, or ctx's.
func (f *Function) Invoke(ctx context.Context, c Call) (environment.Result, error) {
	return f.cfg.Around(ctx, func(ctx context.Context) (environment.Result, error) { return f.run(ctx, c) })
}

func (f *Function) run(ctx context.Context, c Call) (environment.Result, error) {
	w := newWork(c.Front, c.Invocation)
	if err := f.place(w); err != nil {
		return environment.Result{}, err
	}
	result, err := w.wait(ctx, c.Log)
	if err == nil && result.Outcome == environment.Interrupted {
		err = serviceerror.New(serviceerror.TypeService, "the environment was shut down during the invocation")
	}
	return result, err
}

// place hands the work to an idle environment or creates one for it.
func (f *Function) place(w *work) error {
	if f.cfg.Managed != nil {
		return f.placeBeside(w)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.admitLocked(); err != nil {
		return err
	}
	l, err := f.environmentLocked(f.versions[w.inv.Version])
	if err != nil {
		f.cfg.Share.Release()
		return err
	}
	f.counters.Started++
	l.work <- w // has room: the environment had none
	return nil
}

// admitLocked takes room for one invocation in the account, or says why it may not start.
func (f *Function) admitLocked() error {
	if f.closed {
		return serviceerror.New(serviceerror.TypeService, "lambdalocal is shutting down")
	}
	if err := f.cfg.Share.TryAcquire(); err != nil {
		f.counters.Throttled++
		return err
	}
	return nil
}

// environmentLocked finds an idle environment, or creates one.
func (f *Function) environmentLocked(v *version) (*life, error) {
	if l := v.popIdle(); l != nil {
		f.counters.Warm++
		return l, nil
	}
	if !f.rate.take(time.Now()) {
		f.counters.Throttled++
		return nil, serviceerror.Throttled(serviceerror.ReasonScalingRate)
	}
	l, err := f.createLocked(v, false)
	if err != nil {
		return nil, serviceerror.New(serviceerror.TypeService, "%v", err)
	}
	f.counters.Cold++
	return l, nil
}

func (f *Function) createLocked(v *version, provisioned bool) (*life, error) {
	port, release, err := f.cfg.Ports.Take()
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	cfg := v.cfg
	if provisioned {
		cfg = v.ahead
	}
	l := newLife(f, v, environment.New(cfg, hex.EncodeToString(id), port), provisioned)
	f.all[l.env.ID()] = l
	f.lives.Go(func() {
		defer release()
		l.run()
	})
	return l, nil
}

// Refused counts an invocation that a fault refused, instead of Invoke.
func (f *Function) Refused() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counters.Faults++
}

// Close drops the events that wait, shuts every environment down, invocations or not, and returns when all have ended.
// Later invocations fail.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	f.close()
	for _, l := range f.all {
		l.retire()
	}
	f.mu.Unlock()
	f.lives.Wait()
	f.events.Wait()
}

// Kill kills the environment's processes, and does not wait for their end. It returns false if there is no such environment.
func (f *Function) Kill(id string) bool {
	return f.with(id, func(l *life) { l.env.Kill() })
}

// Retire shuts the environment down as at the end of its idle time, even during an invocation, and does not wait for the end. It
// returns false if there is no such environment.
func (f *Function) Retire(id string) bool {
	return f.with(id, func(l *life) { l.retire() })
}

func (f *Function) with(id string, do func(*life)) bool {
	f.mu.Lock()
	l := f.all[id]
	f.mu.Unlock()
	if l != nil {
		do(l)
	}
	return l != nil
}

// finished bills and counts a result. It makes the environment idle if that can serve again, and tells whether it did.
func (f *Function) finished(l *life, w *work, reusable bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg.Share.Release()
	f.cfg.Book.Add(w.front, l.version.cfg.MemoryMB, w.result.Billed, w.result.Init)
	f.counters.end(w.result)
	if !reusable || l.version.replaced {
		l.state = Stopping
		return false
	}
	l.state = Frozen
	l.version.pushIdle(l)
	return true
}

// leaveIdle takes an environment out of service. It returns false if an invocation was placed on it meanwhile.
func (f *Function) leaveIdle(l *life) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !l.version.removeIdle(l) {
		return len(l.work) == 0
	}
	l.state = Stopping
	return true
}

func (f *Function) setState(l *life, s State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.state = s
}

func (f *Function) busy(l *life, request string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.state, l.request = Busy, request
}

func (f *Function) forget(l *life) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, l.env.ID())
	if i := slices.Index(l.version.provision.lives, l); i >= 0 {
		l.version.provision.lives = slices.Delete(l.version.provision.lives, i, i+1)
		f.fillLocked(l.version)
	}
}
