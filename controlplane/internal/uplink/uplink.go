// Package uplink is the stream between a relay and the control plane that leads. A Relay dials control planes, as Envoy
// does, and keeps one stream with each that takes it; a Leader is what they dial. What they say to each other is package
// tables; this package has the goroutines, locks, retries and transports around its two machines.
//
// Nothing queues: each side asks its table for the next message when the stream can take one. The leader asks twice a second
// for a sign of life, so that both see within two seconds that a stream was cut in silence.
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
	maxUnheard = 1                    // of those before the first: a process that hangs accepts streams as well
	maxSilent  = 4                    // of those without a word
	gap        = time.Millisecond     // between messages: under load they hold more instead of being more
	lull       = 5 * time.Millisecond // before one that holds nothing but loads, which say how old they are
)

// Limits.
const (
	maxRelays   = 64   // that a leader knows
	maxAsking   = 4096 // registrations under way, of one relay: all peers of a function register at once after a restart
	maxTogether = 32   // registrations, or answers, in one message: each may have 64 KiB

	// What a relay may send, on average and at once. It sends a message a millisecond at most, and all that it has when a stream
	// begins. What is more waits in the network.
	maxMessages, messagesAtOnce = 2000, 4000  // a second
	maxStreams, streamsAtOnce   = 10, 40      // begun, a second; what is more is refused
	maxKiB, kibAtOnce           = 8192, 65536 // a second
	// maxAhead is how much higher than the leader's a term may be that a relay says it has seen. There are not so many leaders.
	maxAhead = 1 << 20
)

// Errors of a stream. A relay tries again after each of them.
var (
	ErrStandby  = errors.New("this control plane does not lead")
	ErrSilent   = errors.New("nothing was heard in time")
	ErrReplaced = errors.New("the relay has opened another stream")
	ErrAnew     = errors.New("the control plane takes over anew: it has stood still")
	ErrTooOften = errors.New("the relay opens streams too often")
	ErrTerm     = errors.New("the relay says that it has seen a term that nobody can have had")
	ErrSockets  = errors.New("the relay's endpoints are elsewhere than Envoys are told")
)

// A Up is what a relay sends.
type Up struct {
	Observed *tables.Observed `json:"observed,omitempty"`
	Register []Registration   `json:"register,omitempty"` // at most maxTogether, as are the answers

	size int // bytes, of one that was received over gRPC
}

// A Down is what a leader sends.
type Down struct {
	Desired    *tables.Desired `json:"desired,omitempty"`
	Registered []Registered    `json:"registered,omitempty"`
}

// A Registration is a peer that nobody invoked and that asks a relay to be let in.
type Registration struct {
	Number       uint64            `json:"number"`
	Token        string            `json:"token"`
	Registration wire.Registration `json:"registration"`
}

// Registered is the answer: an invocation, or why there is none.
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
	next    func() *S              // the next message; nil: nothing is to be said
	wake    chan struct{}          // says that there may be something to say
	stir    chan struct{}          // says that there may be something that can wait for a lull; nil: there never is
	receive func(*R) error         // takes a message in
	pace    func(*R) time.Duration // how long to wait before the next one is read; nil: not at all
	tick    func()                 // is called every pingEvery
}

// converse carries a stream until it breaks, ctx ends, or nothing is heard any more.
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
			// The reason is with Recv, where the stream is one of gRPC's.
			time.AfterFunc(pingEvery, func() { cancel(err) })
			return
		}
		if !pause.For(ctx, gap) || s.stir != nil && !pause.Unless(ctx, lull-gap, s.wake) {
			return
		}
	}
}

// together takes as many as one message may hold, and returns which are left.
func together[T any](all []T) (first, left []T) {
	n := min(len(all), maxTogether)
	return all[:n:n], all[n:]
}

// wake lets a side look whether there is something to say.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
