package program

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// Pauses between two looks at an app that is starting: short at first, for those that start fast.
	// An app that takes long is asked less often: it may find out a twentieth later that it is ready.
	leastLook = 2 * time.Millisecond
	mostLook  = 50 * time.Millisecond
	rarely    = 20
	// silentFor is how long an app may leave a probe unanswered until that is worth a word. Every againAfter words it is asked
	// once more, beside the probe that it has not answered: it may have lost that one while it started. A probe beside another
	// is cut at the next one; the first is not, since an app may be slow.
	silentFor  = time.Second
	againAfter = 5
	// describeEvery is the least time between two descriptions of what the app did.
	describeEvery = 500 * time.Millisecond
	hintLimit     = 100 * time.Millisecond
	// warnAfter is how long an app may take until the log says what it is waited for, and maxWarnings how often it does.
	warnAfter   = 2 * time.Second
	maxWarnings = 10
)

// readiness finds out whether the app takes requests. Once it did, it is not asked again.
type readiness struct {
	probe probe
	limit time.Duration
	log   *slog.Logger
	ready bool
	what  string // the last thing said
}

// wait blocks until the app takes requests, for at most the limit, and says what it did instead, when that changes. The
// error says what it did last.
func (r *readiness) wait(ctx context.Context, say func(what string)) error {
	if r.ready {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("not ready within %v", r.limit))
	w := watcher{readiness: r, say: say, began: time.Now()}
	if r.what != "" {
		say(r.what) // in an earlier wait
	}
	defer w.asking.Wait()
	defer cancel()
	for pause := leastLook; ; pause = min(2*pause, max(mostLook, time.Since(w.began)/rarely)) {
		err := w.look(ctx)
		if err == nil {
			r.ready = true
			return nil
		}
		if ctx.Err() == nil {
			w.describe(err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %s", context.Cause(ctx), w.last(err))
		}
	}
}

// A watcher is one wait.
type watcher struct {
	*readiness
	say      func(what string)
	began    time.Time
	at       time.Time // of the last description
	asking   sync.WaitGroup
	warnings int
	warned   string
}

// look asks until there is an answer, or ctx ends: it asks once and waits for as long as that takes, and beside it again
// and again.
func (w *watcher) look(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := w.ask(ctx)
	var beside <-chan error
	stop := func() {}
	tick := time.NewTicker(silentFor)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case err := <-first:
			stop()
			return err
		case err := <-beside:
			if err == nil {
				stop()
				return nil
			}
			beside = nil
		case <-tick.C:
			w.tell(w.probe.what + " " + silent)
			if n%againAfter == 0 {
				stop()
				var asking context.Context
				asking, stop = context.WithCancel(ctx)
				beside = w.ask(asking)
			}
			n++
		}
	}
}

func (w *watcher) ask(ctx context.Context) <-chan error {
	answer := make(chan error, 1)
	w.asking.Go(func() { answer <- w.probe.ask(ctx) })
	return answer
}

// describe says what the app did, though not at each of many looks a second.
func (w *watcher) describe(err error) {
	if time.Since(w.at) >= describeEvery {
		w.at = time.Now()
		w.tell(w.probe.did(err))
	}
}

func (w *watcher) tell(what string) {
	if w.what != what {
		w.what = what
		w.say(what)
	}
	if w.warned != what && w.warnings < maxWarnings && time.Since(w.began) >= warnAfter {
		w.warned = what
		w.warnings++
		w.log.Warn("the app does not take requests yet", "waits_for", what)
	}
}

// last is what the app did last, when the wait is over.
func (w *watcher) last(err error) string {
	if w.what != "" {
		return w.what
	}
	return w.probe.did(err)
}
