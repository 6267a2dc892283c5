package cell

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
)

// Spans of a history.
const (
	faulty = 40 * time.Second
	calm   = 20 * time.Second // for leases that run out, and peers that give up
	// givesWay is for a leader that no relay reaches, however many did so before.
	givesWay = 2 * lease.MostPatience
)

// Told is what is counted in a history.
type Told struct {
	Starts   int
	Needless int // of those, made for nobody beside instances that did nothing
}

// History lets one cell live through faults and then come to rest. The error says which promise was broken, with
// what had happened.
func History(seed uint64) (Told, error) {
	w := live(seed)
	told := Told{Starts: w.starts, Needless: w.needless}
	if w.err == nil {
		return told, nil
	}
	last := w.log[max(0, len(w.log)-60):]
	return told, fmt.Errorf("seed %d: %w\n%s", seed, w.err, strings.Join(last, "\n"))
}

// live is the whole history of a seed, up to its end or the first promise that is broken.
func live(seed uint64) *world {
	w := newWorld(seed)
	w.after(0, w.clients)
	w.after(0, w.probe)
	w.after(0, w.watch)
	w.after(w.between(0, 5*time.Second), w.fault)
	w.run(faulty)
	w.calm = true
	w.run(calm)
	for end := w.now.Add(givesWay); w.severed && w.err == nil && !w.led() && w.now.Before(end); {
		w.run(time.Second)
	}
	// Instances go on to come and go: there must be a moment at which all is known.
	for range 40 {
		if w.err != nil || w.rests() == nil {
			return w
		}
		w.run(50 * time.Millisecond)
	}
	w.err = errors.Join(w.err, w.rests())
	return w
}

// fault lets something go wrong, and again later.
func (w *world) fault() {
	if w.calm {
		return
	}
	w.after(w.between(50*time.Millisecond, 6*time.Second), w.fault)
	w.busy = w.now
	p := w.planes[w.rng.IntN(planes)]
	span := w.between(10*time.Millisecond, 8*time.Second)
	switch w.rng.IntN(11) {
	case 0:
		if !p.dead {
			p.kill(span)
		}
	case 1:
		if !p.dead && !p.leaves {
			p.handOver(span)
		}
	case 2:
		w.note("plane %d stands still for %s", p.number, span)
		p.pause(span)
	case 3:
		w.note("plane %d is cut off from the store for %s", p.number, 2*span)
		p.cutOff = w.now.Add(2 * span)
	case 4:
		w.note("the store is away for %s", span)
		w.store.away = w.now.Add(span)
	case 5, 6:
		w.cut(p, span)
	case 7:
		if !w.relay.dead && w.chance(60) {
			w.relay.strike(span / 4)
			if w.chance(20) {
				w.relay.burn()
			}
		}
	case 8:
		w.note("the relay stands still for %s", span/4)
		w.relay.pause(span / 4)
	case 9:
		for _, i := range w.running {
			if w.chance(50) {
				i.cut()
			}
		}
	case 10:
		if w.chance(30) && !w.store.lost && !w.severed { // nobody may be left who knows that there are relays to be reached
			w.note("the store loses its record")
			w.store.lost, w.store.record = true, lease.Record{}
		}
	}
}

// cut breaks the stream of a plane, and keeps it apart for a while.
func (w *world) cut(p *plane, span time.Duration) {
	s := w.relay.streams[p]
	if w.chance(50) {
		if !w.severed && len(w.store.record.Relays) > 0 && w.chance(10) {
			w.severed, span = true, faulty+calm+2*givesWay // to the end: the other plane must lead by then
		}
		w.note("plane %d is apart for %s", p.number, span)
		p.cutSince, p.apart = w.now, w.now.Add(span)
	}
	if s == nil {
		return
	}
	if w.chance(50) {
		w.note("the stream to plane %d falls silent", p.number)
		s.silent = true
		return
	}
	w.note("the stream to plane %d breaks", p.number)
	s.reset()
}

// led tells whether a plane leads that the relay reaches.
func (w *world) led() bool {
	return slices.ContainsFunc(w.planes, func(p *plane) bool { return p.term != 0 && p.mirror.Synced() })
}

// rests checks a cell to which nothing has happened for long.
func (w *world) rests() error {
	var leader *plane
	for _, p := range w.planes {
		if p.term == 0 {
			continue
		}
		if leader != nil {
			return errors.New("two lead")
		}
		leader = p
	}
	switch {
	case leader == nil:
		return errors.New("nobody leads")
	case !leader.mirror.Synced():
		return errors.New("the relay is not attached to the leader")
	case !w.relay.keeper.Settled():
		return errors.New("the relay does not know whom to expect")
	}
	return errors.Join(w.agree(leader), w.tidy())
}

// agree holds what the leader knows against what is there.
func (w *world) agree(leader *plane) (err error) {
	for id, t := range w.relay.tunnels {
		if k := leader.known[id]; !t.ended && (k == nil || k.up != t.up) {
			err = errors.Join(err, fmt.Errorf("the leader knows %+v of %s, which is %+v", k, id, *t))
		}
	}
	for id := range leader.known {
		if t := w.relay.tunnels[id]; t == nil || t.ended {
			err = errors.Join(err, fmt.Errorf("the leader knows of %s, which the relay does not expect", id))
		}
	}
	for _, i := range w.running {
		if leader.known[i.id] == nil {
			err = errors.Join(err, fmt.Errorf("%s runs, and nobody knows", i.id))
		}
	}
	return err
}

// tidy finds what is kept for ever, and ends of which nobody was told.
func (w *world) tidy() error {
	if _, ended := w.relay.keeper.Len(); ended > 0 {
		return fmt.Errorf("%d ends are kept", ended)
	}
	for id, t := range w.relay.tunnels {
		if t.ended && w.told[id].term == 0 {
			return fmt.Errorf("nobody was told of the end of %s", id)
		}
	}
	return nil
}
