package uplink

import (
	"context"
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

var _ relays.Events = (*Relay)(nil)

// Waiting implements relays.Events.
func (r *Relay) Waiting(w relays.Waiting) {
	r.keep(func(now time.Time, k *tables.Keeper) {
		k.Waiting(now, tables.Waiting{Instance: w.Instance, Environment: w.Environment, What: w.What, Peer: tables.Peer(w.Peer)})
	})
}

// Up implements relays.Events.
func (r *Relay) Up(u relays.Up) {
	r.keep(func(now time.Time, k *tables.Keeper) {
		k.Up(now, tables.Up{
			Instance: u.Instance, Environment: u.Environment, Slots: u.Slots, Cold: u.Cold, Left: tables.Micros(u.Left), Peer: tables.Peer(u.Peer),
		})
	})
}

// Load implements relays.Events.
func (r *Relay) Load(instance string, l relays.Load) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keeper.Load(time.Now(), tables.Load{
		Instance: instance, InFlight: l.InFlight, Requests: l.Requests, Answers: l.Answers, Errors: l.Errors,
		Memory: l.Memory, Way: tables.Micros(l.Way),
	})
	for _, line := range r.streams {
		wake(line.stir)
	}
}

// Notice implements relays.Events.
func (r *Relay) Notice(instance string, word wire.Notice) {
	r.keep(func(_ time.Time, k *tables.Keeper) { k.Notice(instance, word) })
}

// Draining implements relays.Events.
func (r *Relay) Draining(instance string, reason wire.Reason) {
	r.keep(func(_ time.Time, k *tables.Keeper) { k.Draining(instance, reason) })
}

// Lost implements relays.Events.
func (r *Relay) Lost(instance string, err error) {
	r.keep(func(_ time.Time, k *tables.Keeper) { k.Lost(instance, err.Error()) })
}

// Down implements relays.Events. What ends because the relay stops is lost for the moment: its peer dials the relay that is started
// again, and its invocation goes on.
func (r *Relay) Down(instance string, report *wire.Report, err error) {
	if report == nil && errors.Is(err, relays.ErrStopped) {
		r.Lost(instance, err)
		return
	}
	r.keep(func(now time.Time, k *tables.Keeper) { k.Down(now, instance, endOf(report, err)) })
}

func (r *Relay) keep(do func(time.Time, *tables.Keeper)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	do(now, r.keeper)
	r.writeLocked(now)
	r.wakeLocked()
}

// Register implements relays.Events: the leader answers.
func (r *Relay) Register(ctx context.Context, token string, registration wire.Registration) (wire.Invocation, error) {
	answer, forget, err := r.ask(token, registration)
	if err != nil {
		return wire.Invocation{}, err
	}
	defer forget()
	select {
	case a, ok := <-answer:
		if !ok {
			return wire.Invocation{}, ErrNoLeader
		}
		return a.result()
	case <-ctx.Done():
		return wire.Invocation{}, errors.New("the control plane did not answer in time: try again")
	}
}

func (r *Relay) ask(token string, registration wire.Registration) (<-chan Registered, func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.leader == nil:
		return nil, nil, ErrNoLeader
	case len(r.asking) >= maxAsking:
		return nil, nil, relays.ErrRegisterTooOften
	}
	r.asked++
	number, answer := r.asked, make(chan Registered, 1)
	r.asking[number] = answer
	r.leader.registers = append(r.leader.registers, Registration{Number: number, Token: token, Registration: registration})
	wake(r.leader.wake)
	return answer, func() { r.forget(number) }, nil
}

func (r *Relay) forget(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.asking, number)
}

func (r *Relay) answerLocked(a Registered) {
	if answer := r.asking[a.Number]; answer != nil {
		answer <- a
		delete(r.asking, a.Number)
	}
}
