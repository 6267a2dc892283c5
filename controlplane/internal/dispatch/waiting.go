package dispatch

import (
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

const (
	// silentStart is how long a start may take before a peer dials. After it the log and the status say so.
	silentStart = 2500 * time.Millisecond
	// maxWaitLines bounds the log lines about one instance that waits for its app.
	maxWaitLines = 5
)

// A wait is what a starting instance waits for. Guarded by the function's mu.
type wait struct {
	timer *time.Timer // fires when nobody has dialled for silentStart; nil before the start
	app   string      // what the app did last, in the peer's words; empty: nothing is known of it
	since time.Time   // when the peer first said that it waits for its app
	lost  bool        // a peer was there and has gone
	lines int         // log lines written
	// verdict is what it waited for when it was given up; empty before.
	verdict string
}

// watch logs it if no peer dials in time for an instance that has just begun.
func (f *function) watch(i *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !i.ended {
		i.wait.timer = time.AfterFunc(silentStart, func() { f.silent(i) })
	}
}

// stopWaiting ends the wait: the instance is up, or over. The caller holds f.mu.
func (i *instance) stopWaiting() {
	if i.wait.timer != nil {
		i.wait.timer.Stop()
	}
	i.wait = wait{}
}

// silent warns of a start for which nobody has dialled.
func (f *function) silent(i *instance) {
	f.mu.Lock()
	why, level := f.waitsFor(i, now()), f.waitLevel()
	silent := !i.ended && i.wait.app == "" && why != ""
	f.mu.Unlock()
	if silent {
		f.log.WithFields(logrus.Fields{"instance": i.id, "waits_for": why}).Log(level, "instance starts slowly")
	}
}

// waitLevel is the log level of slow starts. It is a warning only while no instance of the function has ever come up. The caller
// holds f.mu.
func (f *function) waitLevel() logrus.Level {
	if f.proven {
		return logrus.InfoLevel
	}
	return logrus.WarnLevel
}

// waiting records that a peer is there and waits for its app.
func (f *function) waiting(i *instance, w relays.Waiting) {
	f.meet(w.Peer)
	f.mu.Lock()
	if i.ended || i.core.State() != pool.Starting {
		f.mu.Unlock()
		return
	}
	at := now()
	if i.wait.app == "" {
		i.wait.since = at
	}
	i.wait.app, i.wait.lost = oneLine(w.What), false
	i.environment, i.peer, i.met = w.Environment, w.Peer, true
	i.core.AwaitsApp()
	i.wait.lines++
	say, level, what := i.wait.lines <= maxWaitLines, f.waitLevel(), i.wait.app
	f.mu.Unlock()
	if say {
		f.log.WithFields(logrus.Fields{"instance": i.id, "environment": w.Environment, "waits_for": what}).
			Log(level, "instance waits for its app")
	}
}

// waitsFor says what a starting instance waits for, or what it waited for when it was given up; empty for any other instance. The
// caller holds f.mu.
func (f *function) waitsFor(i *instance, at time.Time) string {
	if i.core.State() != pool.Starting {
		return i.wait.verdict
	}
	return f.stillWaits(i, at)
}

func (f *function) stillWaits(i *instance, at time.Time) string {
	switch {
	case i.dialled > 0:
		return "Envoy to know its endpoint"
	case i.wait.lost:
		return "its peer, which dialled and is not heard any more"
	case i.wait.app != "":
		return fmt.Sprintf("its app, for %s: %s", seconds(at.Sub(i.wait.since)), i.wait.app)
	case i.core.Adopted():
		return fmt.Sprintf("its peer, which registered %s ago and has not dialled", seconds(at.Sub(i.core.Started())))
	case at.Sub(i.core.Started()) < silentStart:
		return "its peer to dial"
	default:
		return fmt.Sprintf("its peer: nobody dialled for %s: is lambdapeer in the image, does the subnet reach the relay?",
			seconds(at.Sub(i.core.Started())))
	}
}

func seconds(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// startsWait says what the oldest slow start waits for; empty if no start is slow. The caller holds f.mu.
func (f *function) startsWait(at time.Time) string {
	var oldest *instance
	slow := 0
	for core := range f.pool.Instances() {
		i := core.Owner.(*instance)
		if core.State() != pool.Starting || i.wait.app == "" && at.Sub(core.Started()) < silentStart {
			continue
		}
		slow++
		if oldest == nil || core.Started().Before(oldest.core.Started()) {
			oldest = i
		}
	}
	switch slow {
	case 0:
		return ""
	case 1:
		return "a start waits for " + f.waitsFor(oldest, at)
	default:
		return fmt.Sprintf("%d starts wait, the oldest for %s", slow, f.waitsFor(oldest, at))
	}
}

// missed records that a start was given up because it took too long. It returns what the start waited for. The caller holds f.mu.
func (f *function) missed(i *instance, at time.Time) string {
	i.wait.verdict = f.stillWaits(i, at)
	f.said[scaler.StartTimeout] = "it waited for " + i.wait.verdict
	return i.wait.verdict
}
