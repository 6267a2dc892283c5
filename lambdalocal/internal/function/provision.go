package function

import (
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A provision is a version's provisioned concurrency: how many environments are to be ready ahead of invocations.
type provision struct {
	want    int
	lives   []*life
	failed  bool // an environment's init failed: no more are started until the next change
	changed time.Time
}

// A Provisioned describes the provisioned concurrency of a version.
type Provisioned struct {
	Requested int
	Allocated int // initialised
	Available int // of those, idle
	Failed    bool
	Changed   time.Time
}

// Provision keeps n environments of a published version initialised; zero ends that. It does not wait for them.
func (f *Function) Provision(name string, n int) *serviceerror.Error {
	if name == Latest {
		return serviceerror.New(serviceerror.TypeInvalidValue, "Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.versions[name]
	v.provision.want, v.provision.failed, v.provision.changed = n, false, time.Now()
	f.fillLocked(v)
	return nil
}

// Provisioned describes a version's provisioned concurrency. It returns false if there is none.
func (f *Function) Provisioned(name string) (Provisioned, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.versions[name]
	p := Provisioned{Requested: v.provision.want, Failed: v.provision.failed, Changed: v.provision.changed}
	for _, l := range v.provision.lives {
		switch l.state {
		case Frozen:
			p.Available++
			p.Allocated++
		case Busy:
			p.Allocated++
		}
	}
	return p, p.Requested > 0
}

// fillLocked creates the environments that are missing, and retires those above the number wanted. One with an invocation is not
// retired: it becomes an ordinary environment.
func (f *Function) fillLocked(v *version) {
	p := &v.provision
	for len(p.lives) > p.want {
		last := len(p.lives) - 1
		l := p.lives[last]
		p.lives = p.lives[:last]
		if l.state == Init || v.removeIdle(l) {
			l.retire()
		}
	}
	for len(p.lives) < p.want && !p.failed && !f.closed {
		l, err := f.createLocked(v, true)
		if err != nil {
			p.failed = true
			return
		}
		p.lives = append(p.lives, l)
	}
}

// initialised makes a provisioned environment ready for invocations. It returns false if its init failed, which leaves it without
// processes, or if it is not wanted any more.
func (f *Function) initialised(l *life) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case l.ctx.Err() != nil:
		return false
	case !l.env.Alive() || len(l.env.PIDs()) == 0:
		l.version.provision.failed = true
		return false
	}
	l.state = Frozen
	l.version.pushIdle(l)
	return true
}

// kept tells whether an environment is kept however long it is idle.
func (f *Function) kept(l *life) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(l.version.provision.lives, l)
}
