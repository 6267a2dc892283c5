package program

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// Pauses between two probes of an app that is starting. They are short at first, for apps that start fast. For an app that
	// takes long they grow to a part, one in rarely, of the time that it has taken.
	leastLook = 2 * time.Millisecond
	mostLook  = 50 * time.Millisecond
	rarely    = 20
	// silentFor is how long a probe may be unanswered until that is reported. Every againAfter reports a second probe is made
	// beside the first, which the app may have lost while it started. The second one is cancelled at the next; the first one
	// is not, because an app may be slow.
	silentFor  = time.Second
	againAfter = 5
	// describeEvery is the least time between two reports of what the app did.
	describeEvery = 500 * time.Millisecond
	hintLimit     = 100 * time.Millisecond
	// warnAfter is how long an app may take until the log says what it waits for, and maxWarnings how often it does.
	warnAfter   = 2 * time.Second
	maxWarnings = 10
)

// readiness finds out whether the app takes requests. Once it does, it is not probed any more.
type readiness struct {
	probe probe
	limit time.Duration
	log   *slog.Logger
	ready bool
	what  string // what was last reported
}

// wait blocks until the app takes requests, for at most the limit. Meanwhile it reports what the app does, when that changes. The
// error says what the app did last.
func (r *readiness) wait(ctx context.Context, say func(what string)) error {
	if r.ready {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("not ready within %v", r.limit))
	w := watcher{readiness: r, say: say, began: time.Now()}
	if r.what != "" {
		say(r.what) // reported in an earlier wait
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

// A watcher is the state of one wait.
type watcher struct {
	*readiness
	say      func(what string)
	began    time.Time
	at       time.Time // of the last description
	asking   sync.WaitGroup
	warnings int
	warned   string
}

// look probes until there is an answer, or ctx ends. The first probe may take as long as it needs; others are made beside it.
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

// describe reports what the app did, but at most once in describeEvery.
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

// last is what the app did last, after the wait.
func (w *watcher) last(err error) string {
	if w.what != "" {
		return w.what
	}
	return w.probe.did(err)
}
