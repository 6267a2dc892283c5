package cell

import (
	"fmt"
	"time"
)

// An environment is Lambda's sandbox. It serves one invocation at a time, and is frozen between them.
type environment struct {
	name   string
	frozen bool
	since  time.Time // when it can be found
	until  time.Time // when Lambda gives it up
}

// What Lambda does, with all that is seldom made common: histories are short.
const (
	crashes      = 8               // of a hundred inits
	warmCrashes  = 2               // of a hundred invocations of what has served before
	givenUpEarly = 15              // of a hundred environments that are frozen
	slowest      = 2 * time.Second // init
)

// environment is the one that an invocation gets, and whether it is new: any that is frozen, or a new one.
func (w *world) environment() (e *environment, cold bool) {
	found := 0
	for _, one := range w.environments {
		if one.frozen && !w.now.Before(one.since) && w.now.Before(one.until) {
			if found++; w.rng.IntN(found) == 0 {
				e = one
			}
		}
	}
	if e == nil {
		w.made++
		e, cold = &environment{name: fmt.Sprint("env", w.made)}, true
		w.environments = append(w.environments, e)
	}
	e.frozen = false
	return e, cold
}

// freeze follows the end of an invocation, after which an environment may take a moment until it can be found.
func (w *world) freeze(e *environment) {
	e.frozen = true
	e.since = w.now.Add(w.between(0, 80*time.Millisecond))
	e.until = w.now.Add(time.Hour)
	if w.chance(givenUpEarly) {
		e.until = w.now.Add(w.between(100*time.Millisecond, 30*time.Second))
	}
}

// invoke begins an invocation.
func (w *world) invoke(id string, answer func(failed bool)) {
	if w.instances[id] != nil {
		w.broken("%s is invoked twice", id)
		return
	}
	e, cold := w.environment()
	i := &instance{world: w, id: id, answer: answer, environment: e, cold: cold, without: w.now, deadline: w.now.Add(lifetime)}
	w.instances[id] = i
	w.running = append(w.running, i)
	if n := w.known(); n > most {
		w.broken("%d instances run, and the ceiling allows for %d", n, most)
	}
	odds, soonest, latest := warmCrashes, 10*time.Millisecond, 60*time.Millisecond
	if cold {
		odds, soonest, latest = crashes, 100*time.Millisecond, slowest
	}
	if !w.calm && w.chance(odds) {
		w.after(w.between(soonest/2, latest/2), func() { i.end(true) })
		return
	}
	w.after(w.between(soonest, latest), func() {
		i.without = w.now
		i.dial()
	})
	w.at(i.deadline.Add(-time.Second), i.drained)
	w.at(i.deadline, func() { i.end(true) })
}

// known is how many invocations go on of which somebody must know.
func (w *world) known() (n int) {
	for _, i := range w.running {
		if !i.stray {
			n++
		}
	}
	return n
}
