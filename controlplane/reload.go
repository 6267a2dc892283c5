package controlplane

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
)

// A Source is where a configuration came from, so that it can be read again.
type Source struct {
	File string                  // is watched
	Load func() (*Config, error) // as LoadConfig
	// Taken, which may be nil, is called with what holds after a configuration was taken.
	Taken func(*Config)
}

// A reloader replaces the configuration that is in force.
type reloader struct {
	// Static after Follow.
	source Source
	apply  func(*Config) error // takes what is valid, or changes nothing and says why
	log    logrus.FieldLogger

	reloading sync.Mutex // is held by who reads and applies; guards the field below
	ended     bool       // nothing is read any more

	mu   sync.Mutex // guards the fields below
	runs *Config    // what holds: never altered
	last admin.Reload
}

func newReloader(cfg *Config, apply func(*Config) error, log logrus.FieldLogger) *reloader {
	at := time.Now()
	return &reloader{
		apply: apply, log: log.WithField("component", "configuration"), runs: cfg, last: admin.Reload{At: at, TakenAt: at},
	}
}

// current is the configuration that holds.
func (r *reloader) current() *Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runs
}

// Last implements admin.Reloader.
func (r *reloader) Last() admin.Reload {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Why nothing is read.
var (
	errNoSource = errors.New("this process has no configuration file to read")
	errEnding   = errors.New("this process is about to end")
	errEmptied  = errors.New("functions: not there, and until now there are some: the file may be half written. To have none, write functions: []")
)

// Reload implements admin.Reloader.
func (r *reloader) Reload(why string) admin.Reload {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	now := r.current()
	next, changed, restart, err := r.read(now)
	if err == nil && len(changed) > 0 {
		err = r.apply(next)
	}
	return r.note(why, next, changed, restart, err)
}

// read returns what would hold next. The caller holds reloading.
func (r *reloader) read(now *Config) (next *Config, changed, restart []string, err error) {
	switch {
	case r.ended:
		return nil, nil, nil, errEnding
	case r.source.Load == nil:
		return nil, nil, nil, errNoSource
	}
	if next, err = r.source.Load(); err != nil {
		return nil, nil, nil, err
	}
	if next.Functions == nil && len(now.Functions) > 0 {
		return nil, nil, nil, errEmptied // all that runs would end
	}
	effective, changes, err := now.Over(*next)
	return &effective, changes.Taken, changes.Restart, err
}

// note takes down what came of a try, and tells who should know.
func (r *reloader) note(why string, next *Config, changed, restart []string, err error) admin.Reload {
	r.mu.Lock()
	was, at := r.last, time.Now()
	r.last.At, r.last.Refused = at, ""
	if err != nil {
		r.last.Refused = err.Error()
		r.last.NotTaken++
	} else {
		r.runs, r.last.TakenAt, r.last.Changed, r.last.Restart = next, at, changed, restart
		r.last.Taken++
	}
	last := r.last
	r.mu.Unlock()
	r.say(why, was, last)
	if err == nil && r.source.Taken != nil {
		r.source.Taken(next)
	}
	return last
}

func (r *reloader) say(why string, was, is admin.Reload) {
	log := r.log.WithField("why", why)
	switch {
	case is.Refused != "":
		log.WithField("error", is.Refused).Error("the configuration is not taken: the one before stays in use")
		return
	case len(is.Changed) > 0:
		log.WithField("changed", is.Changed).Info("another configuration is in use")
	case was.Refused != "":
		log.Info("the configuration is valid again, and as the one in use")
	default:
		log.Debug("the configuration is as the one in use")
	}
	if len(is.Restart) > 0 && !slices.Equal(was.Restart, is.Restart) {
		log.WithField("needs_restart", is.Restart).Warn("these keys of the configuration are used after a restart only")
	}
}

// Run reads the configuration again whenever its file changes, until ctx ends. When it has returned nothing is read any more,
// whoever asks: a function that comes while all others end would start instances.
func (r *reloader) Run(ctx context.Context) error {
	defer r.end()
	if r.source.File == "" {
		<-ctx.Done()
		return nil
	}
	files.Follow(ctx, r.source.File, func() { r.Reload("the file has changed") })
	return nil
}

func (r *reloader) end() {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	r.ended = true
}

// refused is what files of an operator's are said not to be taken, by name.
func (r *reloader) refused(s admin.FilesStatus) admin.FilesStatus {
	s.Refused["configuration"] = r.Last().Refused
	return s
}
