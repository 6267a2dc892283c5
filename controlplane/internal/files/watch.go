package files

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// every is the time between two looks. A change is taken at the second look that finds it.
const every = 500 * time.Millisecond

// A Watch looks at values for as long as it runs. The zero value is not ready: use NewWatch.
type Watch struct {
	log logrus.FieldLogger

	mu      sync.Mutex // guards the field below
	watched []*watched
}

type watched struct {
	name    string
	look    func() bool
	refused func() error
	changed func()
	said    string // of why it is refused, for the log
}

// NewWatch returns one that watches nothing yet.
func NewWatch(log logrus.FieldLogger) *Watch {
	return &Watch{log: log.WithField("component", "files")}
}

// Add has v watched under a name for people. changed, which may be nil, is called after another value was taken.
func Add[T any](w *Watch, name string, v *Value[T], changed func(T)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched = append(w.watched, &watched{name: name, look: v.look, refused: v.Refused, changed: func() {
		if changed != nil {
			changed(v.Get())
		}
	}})
}

// Remove ends the watch of what was added under a name.
func (w *Watch) Remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := make([]*watched, 0, len(w.watched)) // another slice: somebody may be looking at this one
	for _, v := range w.watched {
		if v.name != name {
			left = append(left, v)
		}
	}
	w.watched = left
}

// Refused says by name why what some files hold now was not taken. It is empty when all was.
func (w *Watch) Refused() map[string]error {
	refused := map[string]error{}
	for _, v := range w.all() {
		if err := v.refused(); err != nil {
			refused[v.name] = err
		}
	}
	return refused
}

// Names lists what is watched.
func (w *Watch) Names() []string {
	var names []string
	for _, v := range w.all() {
		names = append(names, v.name)
	}
	return names
}

func (w *Watch) all() []*watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watched
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, v := range w.all() {
			w.look(v)
		}
	}
}

func (w *Watch) look(v *watched) {
	log := w.log.WithField("file", v.name)
	changed := v.look()
	switch err := v.refused(); {
	case changed:
		v.said = ""
		log.Info("what the files hold has changed, and is in use")
		v.changed()
	case err == nil:
		v.said = ""
	case err.Error() != v.said:
		v.said = err.Error()
		log.WithError(err).Warn("what the files hold now is not taken: what they held before stays in use")
	}
}
