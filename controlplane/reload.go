package controlplane

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
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
	sum  files.Digest // of what was last read; zero: nothing was
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

// A try is one reading of the file, and what came of it.
type try struct {
	why     string
	sum     files.Digest // of what the file held
	next    *Config      // what would hold
	changes config.Changes
	err     error // why it does not
}

// fileChanged is why a file is read for which nobody has asked.
const fileChanged = "the file has changed"

// Reload implements admin.Reloader.
func (r *reloader) Reload(why string) admin.Reload {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	t := try{why: why, sum: files.Sum(r.source.File)} // before it is read: what is written meanwhile is another change
	t.next, t.changes, t.err = r.read(r.current())
	if t.err == nil && len(t.changes.Taken) > 0 {
		t.err = r.apply(t.next)
	}
	return r.note(t)
}

// Why nothing is read.
var (
	errNoSource = errors.New("this process has no configuration file to read")
	errEnding   = errors.New("this process is about to end")
	errEmptied  = errors.New("functions: not there, and until now there are some: the file may be half written. To have none, write functions: []")
)

// read returns what would hold next. The caller holds reloading.
func (r *reloader) read(now *Config) (*Config, config.Changes, error) {
	switch {
	case r.ended:
		return nil, config.Changes{}, errEnding
	case r.source.Load == nil:
		return nil, config.Changes{}, errNoSource
	}
	next, err := r.source.Load()
	if err != nil {
		return nil, config.Changes{}, err
	}
	if next.Functions == nil && len(now.Functions) > 0 {
		return nil, config.Changes{}, errEmptied // all that runs would end
	}
	effective, changes, err := now.Over(*next)
	return &effective, changes, err
}

// note takes down what came of a try, and tells who should know.
func (r *reloader) note(t try) admin.Reload {
	r.mu.Lock()
	was, at, again := r.last, time.Now(), r.again(t)
	r.sum, r.last.At = t.sum, at
	switch {
	case again:
	case t.err != nil:
		r.last.Refused = t.err.Error()
		r.last.NotTaken++
	default:
		r.runs, r.last.Refused, r.last.TakenAt, r.last.Changed, r.last.Restart = t.next, "", at, t.changes.Taken, t.changes.Restart
		r.last.Taken++
	}
	last := r.last
	r.mu.Unlock()
	if !again {
		r.say(t.why, was, last)
	}
	if t.err == nil && r.source.Taken != nil {
		r.source.Taken(t.next)
	}
	return last
}

// again tells whether the same contents are refused for the same reason as before, and nobody has asked. The caller holds mu.
func (r *reloader) again(t try) bool {
	return t.err != nil && t.why == fileChanged && t.sum == r.sum && t.err.Error() == r.last.Refused
}

// retryAfter is when contents that were refused are read again: a file that they name may be there by then.
const retryAfter = 5 * time.Second

// known is the digest of what was last read, and whether that is to be read again.
func (r *reloader) known() (last files.Digest, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sum, r.last.Refused != "" && time.Since(r.last.At) >= retryAfter
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
	files.Follow(ctx, r.source.File, r.known, func() { r.Reload(fileChanged) })
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
