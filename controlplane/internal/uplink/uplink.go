// Package uplink is the stream between a relay and the leader. A Relay dials control planes, as Envoy does, and keeps one stream
// with each that accepts it. A Leader is the other end. Package tables has what they say to each other. This package has the
// goroutines, locks, retries and transports around its two state machines.
//
// Messages are not queued: each side asks its table for the next one when the stream can take it. The leader asks for a sign of
// life twice a second, so that both sides notice within two seconds that a stream was cut silently.
package uplink

import (
	"context"
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// How a stream is watched and paced.
const (
	pingEvery  = 500 * time.Millisecond
	maxUnheard = 1                    // pings without a first message: a process that hangs accepts streams too
	maxSilent  = 4                    // pings without a message
	gap        = time.Millisecond     // between messages: under load they become larger instead of more
	lull       = 5 * time.Millisecond // before a message with nothing but loads, which say how old they are
)

// Limits.
const (
	maxRelays   = 64   // relays of a leader
	maxAsking   = 4096 // registrations of one relay under way: all peers of a function register at once after a restart
	maxTogether = 32   // registrations, or answers, in one message: each may have 64 KiB

	// What a relay may send, per second and at once. It sends at most a message per millisecond, and everything that it has
	// when a stream begins. Messages beyond the limit wait in the network.
	maxMessages, messagesAtOnce = 2000, 4000
	maxStreams, streamsAtOnce   = 10, 40 // streams beyond the limit are refused
	maxKiB, kibAtOnce           = 8192, 65536
	// maxAhead is how much higher than the leader's term one may be that a relay says it has seen. There are not that many
	// terms.
	maxAhead = 1 << 20
)

// Errors of a stream. A relay tries again after each of them.
var (
	ErrStandby  = errors.New("this control plane does not lead")
	ErrSilent   = errors.New("no message came in time")
	ErrReplaced = errors.New("the relay has opened another stream")
	ErrAnew     = errors.New("the control plane takes over anew, because it has stalled")
	ErrTooOften = errors.New("the relay opens streams too often")
	ErrTerm     = errors.New("the relay says that it has seen an impossible term")
	ErrTwice    = errors.New("another relay of this name is attached: two relays need two names")
	ErrSockets  = errors.New("the relay's sockets are not where Envoys are told")
)

// An Up is what a relay sends.
type Up struct {
	Observed *tables.Observed `json:"observed,omitempty"`
	Register []Registration   `json:"register,omitempty"` // at most maxTogether

	size int // bytes, if it was received over gRPC
}

// A Down is what a leader sends.
type Down struct {
	Desired    *tables.Desired `json:"desired,omitempty"`
	Registered []Registered    `json:"registered,omitempty"` // at most maxTogether
}

// A Registration is the request of a peer that registers by itself.
type Registration struct {
	Number       uint64            `json:"number"`
	Token        string            `json:"token"`
	Registration wire.Registration `json:"registration"`
}

// Registered answers a Registration: with an invocation, or with why there is none.
type Registered struct {
	Number     uint64           `json:"number"`
	Invocation *wire.Invocation `json:"invocation,omitempty"`
	Refusal    Refusal          `json:"refusal,omitempty"`
	Text       string           `json:"text,omitempty"` // for the peer
}

// A Stream carries messages both ways. One goroutine may send while another receives.
type Stream[S, R any] interface {
	Send(*S) error
	Recv() (*R, error)
}

// A side is what one end does with a stream.
type side[S, R any] struct {
	next    func() *S              // returns the next message; nil: there is none
	wake    chan struct{}          // there may be a message to send
	stir    chan struct{}          // there may be a message that can wait for a lull; nil: there never is
	receive func(*R) error         // handles a message
	pace    func(*R) time.Duration // how long to wait before the next message is read; nil: not at all
	tick    func()                 // called every pingEvery
}

// converse serves a stream until it breaks, ctx ends, or the other side falls silent.
func converse[S, R any](ctx context.Context, stream Stream[S, R], s side[S, R]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	heard := make(chan *R)
	go hear(ctx, cancel, stream, heard, s.pace)
	go speak(ctx, cancel, stream, s)
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	limit := maxUnheard
	for silent := 0; ; {
		select {
		case message := <-heard:
			silent, limit = 0, maxSilent
			if err := s.receive(message); err != nil {
				return err
			}
		case <-ticker.C:
			if silent++; silent > limit {
				return ErrSilent
			}
			s.tick()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func hear[S, R any](ctx context.Context, cancel context.CancelCauseFunc, stream Stream[S, R], heard chan<- *R, pace func(*R) time.Duration) {
	for {
		message, err := stream.Recv()
		if err != nil {
			cancel(err)
			return
		}
		select {
		case heard <- message:
		case <-ctx.Done():
			return
		}
		if pace == nil {
			continue
		}
		if wait := pace(message); wait > 0 && !pause.For(ctx, wait) {
			return
		}
	}
}

func speak[S, R any](ctx context.Context, cancel context.CancelCauseFunc, stream Stream[S, R], s side[S, R]) {
	for {
		message := s.next()
		if message == nil {
			select {
			case <-s.wake:
				continue
			case <-s.stir:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := stream.Send(message); err != nil {
			// With a gRPC stream Recv returns the reason, so give it time to.
			time.AfterFunc(pingEvery, func() { cancel(err) })
			return
		}
		if !pause.For(ctx, gap) || s.stir != nil && !pause.Unless(ctx, lull-gap, s.wake) {
			return
		}
	}
}

// together splits off as many as one message may hold.
func together[T any](all []T) (first, left []T) {
	n := min(len(all), maxTogether)
	return all[:n:n], all[n:]
}

// wake signals on a channel with room for one signal, without blocking.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
