package function

import (
	"math"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A Managed says on which instances a function runs on Lambda Managed Instances, and how it scales there. AWS documents the
// headroom and which loads count, but not how often it scales, nor how far at once.
type Managed struct {
	Min, Max    int           // environments of each version
	VCPUs       float64       // of an environment
	PerInstance int           // environments that an EC2 instance holds
	HourDollars float64       // of such an instance, without the fee
	Interval    time.Duration // between two looks at the load
}

// Documented facts of Managed Instances.
const (
	// headroom is how full environments are kept: they can bear twice the load until new ones are there.
	headroom = 0.5
	// fewestInstances is the least number of instances for that many environments or more: one in each zone.
	fewestInstances = 3
)

// calm is how many looks in a row must see less need before an environment goes.
const calm = 30

// A fleet is a version's environments on Managed Instances. Guarded by Function.mu.
type fleet struct {
	lives []*life
	inUse int           // invocations under way
	peak  int           // most of them since the last look, what was throttled included
	cpu   time.Duration // used up to the last look
	low   int           // looks in a row that saw less need
}

// startManaged begins the fleets of all versions.
func (f *Function) startManaged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.versions {
		f.growLocked(v, f.cfg.Managed.Min)
	}
	f.lives.Go(f.scale)
}

// scale looks at the load until the function is closed.
func (f *Function) scale() {
	tick := time.NewTicker(f.cfg.Managed.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.look()
		case <-f.closing.Done():
			return
		}
	}
}

func (f *Function) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.versions {
		want := f.cfg.Managed.want(v.cfg.Concurrency, v.fleet.peak, v.fleet.usedSince(), f.cfg.Managed.Interval)
		v.fleet.peak = v.fleet.inUse
		n := len(v.fleet.lives)
		if want >= n {
			v.fleet.low = 0
			f.growLocked(v, want)
			continue
		}
		if v.fleet.low++; v.fleet.low >= calm {
			v.fleet.low = 0
			f.leaveLocked(v.fleet.lives[n-1])
		}
	}
}

// want is how many environments bear the load with headroom.
func (m *Managed) want(concurrency, peak int, cpu, over time.Duration) int {
	slots := float64(peak) / (float64(concurrency) * headroom)
	cores := cpu.Seconds() / over.Seconds() / (m.VCPUs * headroom)
	return min(max(m.Min, int(math.Ceil(max(slots, cores)))), m.Max)
}

// usedSince is the processor time since the last look. It misses that of environments that have ended meanwhile.
func (t *fleet) usedSince() time.Duration {
	var now time.Duration
	for _, l := range t.lives {
		now += l.env.CPU()
	}
	used := max(0, now-t.cpu)
	t.cpu = now
	return used
}

// growLocked starts environments until there are n.
func (f *Function) growLocked(v *version, n int) {
	for len(v.fleet.lives) < n && !f.closed && !v.replaced {
		l, err := f.createLocked(v, true)
		if err != nil {
			return // the next look tries again
		}
		v.fleet.lives = append(v.fleet.lives, l)
	}
	f.hireLocked()
}

// hireLocked tells the bill how many EC2 instances there are.
func (f *Function) hireLocked() {
	n := len(f.all)
	instances := max(min(fewestInstances, n), (n+f.cfg.Managed.PerInstance-1)/f.cfg.Managed.PerInstance)
	f.cfg.Book.Hire(time.Now(), instances, f.cfg.Managed.HourDollars)
}

// leaveLocked takes an environment out of its fleet. It ends when its invocations have.
func (f *Function) leaveLocked(l *life) {
	l.version.fleet.remove(l)
	l.leaving = true
	if l.beside == 0 {
		l.retire()
	}
}

// placeBeside hands the work to the environment with the most room. It starts none.
func (f *Function) placeBeside(w *work) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.admitLocked(); err != nil {
		return err
	}
	v := f.versions[w.inv.Version]
	l, free, pending := v.fleet.roomiest()
	switch {
	case l == nil && pending:
		f.cfg.Share.Release()
		return serviceerror.New(serviceerror.TypeConflict, "The operation cannot be performed at this time. The function is currently in the following state: Pending")
	case free <= 0:
		f.cfg.Share.Release()
		f.counters.Throttled++
		v.fleet.peak = max(v.fleet.peak, v.fleet.inUse+1)
		return serviceerror.Throttled(serviceerror.ReasonAccountLimit)
	}
	f.counters.Started++
	f.counters.Warm++
	l.beside++
	l.env.Reserve()
	l.request = w.inv.ID
	v.fleet.inUse++
	v.fleet.peak = max(v.fleet.peak, v.fleet.inUse)
	l.served.Go(func() { l.serveBeside(w) })
	return nil
}

// Pending tells whether all environments of a version on Managed Instances are starting, so that it takes no invocations yet.
func (f *Function) Pending(version string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.versions[version]
	if v == nil {
		return false
	}
	l, _, pending := v.fleet.roomiest()
	return l == nil && pending
}

// roomiest returns the environment with the most room. It is nil while all are starting.
func (t *fleet) roomiest() (found *life, free int, pending bool) {
	for _, l := range t.lives {
		if l.state == Init {
			pending = true
			continue
		}
		if n := l.env.Free(); found == nil || n > free {
			found, free = l, n
		}
	}
	return found, free, pending
}

func (t *fleet) remove(l *life) {
	t.lives = slices.DeleteFunc(t.lives, func(other *life) bool { return other == l })
}

// runManaged owns the environment until it fails, or is told to end and has nothing under way any more.
func (l *life) runManaged() {
	defer l.retire()
	l.begin()
	joined := l.f.joined(l)
	defer func() { l.f.forgetManaged(l, joined) }()
	if joined {
		select {
		case <-l.env.Failed():
		case <-l.ctx.Done():
		}
	}
	l.f.left(l)
	l.served.Wait()
	reason := environment.Spindown
	if !l.env.Alive() {
		reason = environment.Failed
	}
	l.env.Shutdown(reason)
	l.env.Close()
}

// joined puts an environment into service. It returns false if the init failed.
func (f *Function) joined(l *life) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.ctx.Err() != nil || !l.env.Alive() || len(l.env.PIDs()) == 0 {
		return false
	}
	l.state = Ready
	return true
}

func (f *Function) left(l *life) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l.state = Stopping
	l.version.fleet.remove(l)
}

// forgetManaged replaces an environment that has served at once. If its init failed, the next look replaces it.
func (f *Function) forgetManaged(l *life, joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, l.env.ID())
	if joined {
		f.growLocked(l.version, f.cfg.Managed.Min)
	} else {
		f.hireLocked()
	}
}

func (l *life) serveBeside(w *work) {
	spare := l.threaten()
	w.result = l.env.Serve(l.f.closing, w.inv)
	spare()
	l.f.servedBeside(l, w)
	close(w.done)
}

func (f *Function) servedBeside(l *life, w *work) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg.Share.Release()
	f.cfg.Book.Add(w.front, l.version.cfg.MemoryMB, 0, 0)
	f.counters.end(w.result)
	l.version.fleet.inUse--
	if l.beside--; l.beside == 0 && l.leaving {
		l.retire()
	}
}
