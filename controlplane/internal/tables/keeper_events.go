package tables

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Waiting says that a peer waits for its app.
func (k *Keeper) Waiting(now time.Time, w Waiting) {
	k.change(w.Instance, func(r *record) {
		r.Phase, r.Environment, r.What, r.Peer = PhaseWaiting, w.Environment, w.What, w.Peer
		r.Waits++
	})
}

// Up says that an instance can serve.
func (k *Keeper) Up(now time.Time, u Up) {
	k.change(u.Instance, func(r *record) {
		r.Phase, r.Environment, r.Slots, r.Cold, r.Peer = PhaseUp, u.Environment, u.Slots, u.Cold, u.Peer
		r.Ups++
		r.deadline = from(now, u.Left)
		if r.up.IsZero() {
			r.up = now
		}
	})
}

// Load says what a peer counts. It ignores Number and Age.
func (k *Keeper) Load(now time.Time, l Load) {
	r := k.records[l.Instance]
	if r == nil || r.End != nil {
		return
	}
	if r.Load != nil {
		l.Number = r.Load.Number
	}
	l.Number, l.Age = l.Number+1, 0
	r.Load, r.loaded = &l, now
	k.enqueue(r)
}

// Notice says what a peer has noticed about its app or environment.
func (k *Keeper) Notice(id string, word wire.Notice) {
	k.change(id, func(r *record) {
		if !r.Notice.Wears() { // the next leader must hear that the environment is worn, whatever else was noticed
			r.Notice = word
		}
		r.Notices++
	})
}

// Draining says that a peer drains by its own decision.
func (k *Keeper) Draining(id string, reason wire.Reason) {
	k.change(id, func(r *record) { r.Leaves = reason })
}

// Lost says that an instance's control stream broke off.
func (k *Keeper) Lost(id, why string) {
	k.change(id, func(r *record) { r.Phase, r.Why = PhaseLost, wire.CutDetail(why) })
}

// Down says that an instance has ended.
func (k *Keeper) Down(now time.Time, id string, end End) {
	k.change(id, func(r *record) {
		end.Detail = wire.CutDetail(end.Detail)
		r.Phase, r.End, r.ended = PhaseEnded, &end, now
	})
}

// change changes an instance, unless it has ended.
func (k *Keeper) change(id string, how func(*record)) {
	r := k.records[id]
	if r == nil || r.End != nil {
		return
	}
	how(r)
	r.changed = true
	k.enqueue(r)
	k.write(r)
}

func (k *Keeper) enqueue(r *record) {
	if k.open && !r.queued {
		r.queued = true
		k.queue = append(k.queue, r.ID)
	}
}
