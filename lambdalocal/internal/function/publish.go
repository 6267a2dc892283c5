package function

import (
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// Versions returns the published versions, oldest first.
func (f *Function) Versions() []Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Version
	for _, name := range f.order {
		list = append(list, f.versions[name].about)
	}
	return list
}

// Version returns the version of that name, Latest too.
func (f *Function) Version(name string) (Version, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.versions[name]
	if v == nil {
		return Version{}, false
	}
	return v.about, true
}

// errRevision is the answer to a caller who knows another state than the present one.
var errRevision = serviceerror.New(serviceerror.TypePrecondition,
	"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")

// expect refuses a revision that the caller names and that is not the present one.
func expect(revision, present string) *serviceerror.Error {
	if revision != "" && revision != present {
		return errRevision
	}
	return nil
}

// Expect refuses a revision that the caller names and that the version has not.
func (v Version) Expect(revision string) *serviceerror.Error { return expect(revision, v.Revision) }

// Update changes Latest if it has that revision; empty is any. Environments of the old one end: frozen ones at once, busy ones after
// their invocation. change must not keep what it gets.
func (f *Function) Update(revision string, change func(*Version)) *serviceerror.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.versions[Latest]
	if err := old.about.Expect(revision); err != nil {
		return err
	}
	about := old.about
	about.Modified = time.Now()
	change(&about)
	f.versions[Latest] = newVersion(about)
	old.replaced = true
	for _, l := range old.idle {
		l.retire()
	}
	old.idle = nil
	if f.cfg.Managed != nil {
		for _, l := range slices.Clone(old.fleet.lives) {
			f.leaveLocked(l)
		}
		f.growLocked(f.versions[Latest], f.cfg.Managed.Min)
	}
	return nil
}

// Publish makes a version of what Latest was when the caller got it. code copies its code, and returns the copy's folder and hash. If
// nothing has changed since the newest version, nothing is published, and that version is returned.
func (f *Function) Publish(latest Version, description string, code func(Version) (dir, sha256 string, err error)) (Version, error) {
	dir, sum, err := code(latest)
	if err != nil {
		return Version{}, err
	}
	latest.Dir, latest.Sha256, latest.Description = dir, sum, description
	f.mu.Lock()
	defer f.mu.Unlock()
	last := 0
	if n := len(f.order); n > 0 {
		newest := f.versions[f.order[n-1]].about
		if newest.same(latest) {
			return newest, nil
		}
		for _, name := range f.order {
			number, _ := strconv.Atoi(name)
			last = max(last, number)
		}
	}
	latest.Version, latest.Modified = strconv.Itoa(last+1), time.Now()
	published := newVersion(latest)
	f.versions[latest.Version] = published
	f.order = append(f.order, latest.Version)
	if f.cfg.Managed != nil {
		f.growLocked(published, f.cfg.Managed.Min)
	}
	return published.about, nil
}

// same tells whether the versions run the same. Without a copy of the code that is not known, and counts as different.
func (v Version) same(other Version) bool {
	return v.Sha256 != "" && v.Sha256 == other.Sha256 && reflect.DeepEqual(v.runs(), other.runs())
}

// runs is the part of a version's configuration on which its behaviour depends.
func (v Version) runs() environment.Config {
	cfg := v.Config
	cfg.Version, cfg.Dir, cfg.Log, cfg.Enclose, cfg.Confine = "", "", nil, nil, nil
	return cfg
}

// Aliases returns all of them.
func (f *Function) Aliases() []Alias {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.aliases)
}

// Alias returns the alias of that name. Its weights must not be changed.
func (f *Function) Alias(name string) (Alias, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.aliasLocked(name); i >= 0 {
		return f.aliases[i], true
	}
	return Alias{}, false
}

func (f *Function) aliasLocked(name string) int {
	return slices.IndexFunc(f.aliases, func(a Alias) bool { return a.Name == name })
}

// SetAlias replaces the alias of that name, or adds it if there is none. It returns the alias as it is then. If a names a revision,
// it must be that of the one to replace.
func (f *Function) SetAlias(a Alias) (Alias, *serviceerror.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.checkLocked(a); err != nil {
		return a, err
	}
	i := f.aliasLocked(a.Name)
	if i < 0 {
		i, f.aliases = len(f.aliases), append(f.aliases, Alias{Revision: a.Revision})
	}
	if err := expect(a.Revision, f.aliases[i].Revision); err != nil {
		return a, err
	}
	a.Revision = uuid.New()
	f.aliases[i] = a
	return a, nil
}

// checkLocked says what is wrong with an alias.
func (f *Function) checkLocked(a Alias) *serviceerror.Error {
	if f.versions[a.Version] == nil {
		return serviceerror.New(serviceerror.TypeNotFound, "Function not found: %s", f.cfg.ARN(a.Version))
	}
	if len(a.Weights) > MaxWeights {
		return serviceerror.New(serviceerror.TypeInvalidValue, "Number of items in AdditionalVersionWeights cannot be greater than %d", MaxWeights)
	}
	if len(a.Weights) > 0 && a.Version == Latest {
		return serviceerror.New(serviceerror.TypeInvalidValue, "%s is not supported for an alias pointing to more than 1 version", Latest)
	}
	for version := range a.Weights {
		switch {
		case version == a.Version:
			return serviceerror.New(serviceerror.TypeInvalidValue,
				"Invalid function version %[1]s. Function version %[1]s is already included in routing configuration.", version)
		case f.versions[version] == nil:
			return serviceerror.New(serviceerror.TypeNotFound, "Function not found: %s", f.cfg.ARN(version))
		}
	}
	return nil
}

// DeleteAlias removes an alias, if it is there.
func (f *Function) DeleteAlias(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aliases = slices.DeleteFunc(f.aliases, func(a Alias) bool { return a.Name == name })
}
