package dispatch

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A Configuration has the functions, and the settings that they share.
type Configuration struct {
	Functions []config.Function
	Providers map[string]provider.Provider // by function name; absent for functions whose peers register by themselves
	Pricing   config.Pricing
	Budget    config.Budget
	Accounts  map[string]*scaler.Budget // by function name: the bound on instances that an account's functions in a region share; nil: none is known
	Tokens    map[string]func() string  // by function name: returns the token that peers register with now; absent for functions that are invoked
}

// A directory holds all functions, also those that are leaving. It is immutable: a change replaces it.
type directory struct {
	functions map[string]*function
	list      []*function // sorted by name
}

func newDirectory(functions map[string]*function) *directory {
	d := &directory{functions: functions}
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		d.list = append(d.list, functions[name])
	}
	return d
}

// named returns a function by its name; nil if there is none.
func (d *Dispatcher) named(name string) *function { return d.directory.Load().functions[name] }

// list returns all functions, sorted by name.
func (d *Dispatcher) list() []*function { return d.directory.Load().list }

// Configure replaces the configuration. Functions whose settings are the same are not touched. A function that c lacks leaves: its
// queued requests are refused, its instances finish what they have in flight, and then it is forgotten. Configure may be called at
// any time, also before Start.
func (d *Dispatcher) Configure(c Configuration) {
	d.configuring.Lock()
	defer d.configuring.Unlock()
	d.budget.SetCeiling(c.Budget.DollarsPerHour)
	functions := maps.Clone(d.directory.Load().functions)
	next := map[string]*settings{}
	var fresh []*function
	for _, cfg := range c.Functions {
		s := d.settingsFor(cfg, c)
		next[cfg.Name] = s
		if functions[cfg.Name] == nil {
			functions[cfg.Name] = newFunction(d, s)
			fresh = append(fresh, functions[cfg.Name])
		}
	}
	d.directory.Store(newDirectory(functions))
	others := 0
	for _, f := range d.list() {
		if s := next[f.name]; s == nil {
			f.leave()
		} else if !f.settings().same(s) {
			f.configure(s, others)
			others++
		}
	}
	for n, f := range fresh {
		f.open(others + n)
	}
	d.retick()
}

// retick lets each function decide again, because a ceiling that they share may have risen.
func (d *Dispatcher) retick() {
	if !d.decides() {
		return
	}
	for _, f := range d.list() {
		f.tick()
	}
}

// open lets a new function begin to decide, if the dispatcher has started. place is how many functions' routings are read before
// this one's.
func (f *function) open(place int) {
	if !f.d.decides() {
		return
	}
	f.do((*pool.Pool).Resume)
	f.tick()
	if f.d.unreachable.Load() {
		f.reach(false)
	}
	if f.d.relayless.Load() {
		f.attached(false)
	}
	if f.settings().leaving {
		f.vacate()
	}
	f.followAgain(place)
	f.d.changed(f.name)
}

// configure gives the function other settings. place is as for open.
func (f *function) configure(next *settings, place int) {
	var todo effects
	f.mu.Lock()
	before, at := f.settings(), now()
	f.wake(at, &todo)
	f.holds.Store(next)
	if memory := next.config.Lambda.MemoryMB; memory != before.config.Lambda.MemoryMB && memory > 0 {
		f.priced = memory
	}
	f.bill.Configure(next.plan.rates, next.config.Lambda.MemoryMB)
	if next.config.Scaling.Max != before.config.Scaling.Max {
		f.registers = registrations(next.config.Scaling.Max)
	}
	f.apply(at, f.pool.Configure(at, next.plan.settings), &todo)
	f.pool.Reprice(next.plan.price(f.priced))
	if next.closed != "" && before.closed != next.closed {
		f.apply(at, f.pool.Vacate(at, pool.Cause(next.closed)), &todo)
	}
	f.retarget(at, before, next, &todo)
	f.mu.Unlock()
	todo.changed = true
	todo.carryOut(f)
	if !next.leaving {
		f.unreserve()
	}
	if f.d.decides() {
		f.followAgain(place)
	}
}

// retarget replaces all instances if the new settings invoke another Lambda function or another qualifier. For a qualifier that is
// watched, the next answer of Lambda does that instead. The caller holds f.mu.
func (f *function) retarget(at time.Time, before, next *settings, todo *effects) {
	was, is := before.config.Lambda, next.config.Lambda
	switch {
	case next.provider == nil || next.closed != "":
	case was.FunctionName != is.FunctionName, was.Region != is.Region, was.AssumeRole != is.AssumeRole:
		f.versions = versions{}
		f.apply(at, f.pool.Another(at, next.plan.settings.Rollout), todo)
	case was.Qualifier != is.Qualifier && (!next.watched() || !f.versions.read || f.versions.trouble != ""):
		f.apply(at, f.pool.Another(at, next.plan.settings.Rollout), todo)
	}
}

// leave begins to remove a function that is not configured any more, or continues to.
func (f *function) leave() {
	if !f.settings().leaving {
		f.log.Info("the function is not configured any more: its instances finish")
		f.configure(f.d.left(f.settings()), 0)
	}
	f.d.dropIfEmpty(f)
}

// vacate refuses the queued requests of a closed function, and lets its instances finish.
func (f *function) vacate() {
	if closed := f.settings().closed; closed != "" {
		f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Vacate(at, pool.Cause(closed)) })
		f.d.changed(f.name)
	}
}

// Leaving implements upstream.Source.
func (d *Dispatcher) Leaving() []string {
	var names []string
	for _, f := range d.list() {
		if f.settings().leaving {
			names = append(names, f.name)
		}
	}
	return names
}

// dropIfEmpty forgets a function that is leaving, once it has neither instances nor requests.
func (d *Dispatcher) dropIfEmpty(f *function) {
	if f.settings().leaving && f.empty() {
		d.spawn(func() { d.drop(f) })
	}
}

func (d *Dispatcher) drop(f *function) {
	d.configuring.Lock()
	defer d.configuring.Unlock()
	if d.named(f.name) != f || !f.settings().leaving || !f.forget() {
		return
	}
	f.stopTimer()
	f.unfollow()
	f.unreserve()
	f.log.Info("the function has left")
	d.changed(f.name)
}

// empty tells whether the function has neither instances nor requests.
func (f *function) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.emptyLocked()
}

func (f *function) emptyLocked() bool {
	s := f.pool.Stats()
	return s.Live() == 0 && s.InFlight == 0 && s.Waiting == 0
}

// forget takes the function out of the directory, unless something has come meanwhile. What comes later gets errForgotten. The caller
// holds d.configuring.
func (f *function) forget() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.emptyLocked() {
		return false
	}
	functions := maps.Clone(f.d.directory.Load().functions)
	delete(functions, f.name)
	f.d.directory.Store(newDirectory(functions))
	f.forgotten = true
	return true
}

// errForgotten says that a function was looked up just before it was forgotten. The directory does not have it any more.
var errForgotten = errors.New("the function was forgotten meanwhile")

// maxStrangers bounds the unconfigured functions that relays can make us create.
const maxStrangers = 1000

var errStranger = errors.New("no such function is configured")

// stranger returns the function of an inherited instance, or of a request that a caretaker is asked about. If the configuration
// lacks the function, stranger creates one that is leaving.
func (d *Dispatcher) stranger(name string) (*function, error) {
	if f := d.named(name); f != nil {
		return f, nil
	}
	d.configuring.Lock()
	defer d.configuring.Unlock()
	functions := maps.Clone(d.directory.Load().functions)
	switch {
	case functions[name] != nil:
		return functions[name], nil
	case !config.IsName(name) || len(d.Leaving()) >= maxStrangers:
		return nil, errStranger
	}
	cfg := config.DefaultFunction()
	cfg.Name = name
	f := newFunction(d, d.left(d.settingsFor(cfg, Configuration{Providers: map[string]provider.Provider{name: unknown{}}})))
	functions[name] = f
	d.directory.Store(newDirectory(functions))
	f.open(0)
	return f, nil
}

// refused is the refusal of a request whose function is unknown. A caretaker cannot say that there is none.
func (d *Dispatcher) refused() *admission.Error {
	if !d.caretaker {
		return admission.Reject(admission.UnknownFunction)
	}
	e := admission.Reject(admission.NoLeader)
	e.RetryAfter = leaderSoon
	return e
}
