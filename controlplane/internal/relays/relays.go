// Package relays is what a relay and the control plane tell each other about instances: whom to expect, and who is up.
package relays

import (
	"context"
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// An Expectation announces an instance to the relay before its peer dials: whose tunnels to accept and which of Envoy's
// sockets they serve.
type Expectation struct {
	Instance string
	Function string
	Endpoint string    // endpoint name, "web/0007"; its socket is SocketPath(Endpoint)
	Expires  time.Time // forget the instance when no control stream was opened by then
	StartBy  time.Time // when a start is given up; zero: never. A peer whose app is not ready is told
	Dollars  float64   // that it claims, an hour
	Memo     []byte    // what the next leader is to know of it; at most 1 KiB
}

// An Inheritance is an instance that a former leader has announced, as its relay has it. What has happened to it follows as
// events.
type Inheritance struct {
	Instance    string
	Function    string
	Endpoint    string
	Dollars     float64
	Memo        []byte
	Age         time.Duration // since it was announced
	UpFor       time.Duration // since it was up first; 0: it never was
	Cold        bool
	Environment string
	Drain       wire.Reason // why its peer was told to finish; empty: it was not
}

// MaxNote bounds the text of a Note, in bytes: a relay takes no longer one.
const MaxNote = 64 << 10

// A Note is what a leader leaves for the next one about a function.
type Note struct {
	Function string
	Text     []byte        // at most MaxNote
	Age      time.Duration // since it was written
}

// Commands is what the control plane asks of a relay. No method blocks on the network.
type Commands interface {
	// Expect makes the relay accept tunnels and control streams of an instance.
	Expect(Expectation)
	// Drain tells the instance's peer to take no new request, finish, and end its invocation.
	Drain(instance string, reason wire.Reason)
	// Forget closes all that belongs to the instance, at once. Its tokens open nothing afterwards.
	Forget(instance string)
}

// Events is what a relay tells the control plane. Calls for one instance come in order and never overlap: any number of
// Waiting, then Up, then any number of Load and Notice and at most one Draining; after Lost another Up may follow; at the end Down. Every expected instance ends
// with exactly one Down, also one that never came up and one that was forgotten. No call is made from within a Commands
// method, so a caller of those may hold its locks. Implementations return quickly.
type Events interface {
	// Waiting: a peer is there whose app does not take requests yet.
	Waiting(Waiting)
	// Up: the instance's socket listens and a tunnel stands ready behind it.
	Up(Up)
	// Load: what the peer counts as in flight.
	Load(instance string, load Load)
	// Notice: the peer found something about its app; the word may be one of a later build.
	Notice(instance string, word wire.Notice)
	// Draining: the peer drains by its own decision.
	Draining(instance string, reason wire.Reason)
	// Lost: the control stream broke off and the socket is gone. Requests on tunnels go on for as long as those carry them.
	// The peer may come back, which is an Up, or Down follows soon.
	Lost(instance string, err error)
	// Down: the control stream ended, all tunnels are closed and the socket is gone; the instance's token opens nothing
	// any more. report is nil without a goodbye, and then err says why: it wraps ErrNeverDialled, ErrForgotten,
	// ErrControlEnded, ErrTooOften, or is the error of the connection.
	Down(instance string, report *wire.Report, err error)
	// Register answers a peer that nobody invoked. An error's text is shown to the peer; its status is 401, 404 or
	// 429 for one that wraps ErrUnauthorized, ErrUnknownFunction or ErrRegisterTooOften, else 503. The last two ask the peer to
	// try again later.
	Register(ctx context.Context, token string, r wire.Registration) (wire.Invocation, error)
}

// Up describes an instance that can serve.
type Up struct {
	Instance    string
	Environment string
	Slots       int
	Cold        bool
	Left        time.Duration // until the invocation's deadline; 0: it has none
	Peer        Peer
}

// A Load is what a peer counted a little while ago.
type Load struct {
	InFlight int
	Answers  uint64 // given since the instance began
	Errors   uint64 // of those, 5xx
	Memory   int64  // bytes that the environment's processes hold; 0: not known
	// Way is what the network added to its age: a round trip, as the kernel measures it, and as much as it varies. 0: not
	// known.
	Way time.Duration
}

// Waiting describes an instance whose peer waits for the app.
type Waiting struct {
	Instance    string
	Environment string
	What        string // what the app did last, in the peer's words; never empty
	Peer        Peer
}

// A Peer is what the hello says of the program that serves. All of it may be missing; older peers say nothing.
type Peer struct {
	Build           string        // for people: its release or revision
	Features        wire.Features // what it does beyond the protocol's first state
	FunctionVersion string        // of the code that runs: a number or $LATEST
	RequestID       string        // of the invocation, in Lambda's words
	LogStream       string        // where the invocation logs
}

// How an instance can end without a goodbye.
var (
	ErrNeverDialled = errors.New("the peer opened no control stream in time")
	ErrForgotten    = errors.New("the control plane gave the instance up")
	ErrControlEnded = errors.New("the control stream ended without a goodbye")
	ErrTooOften     = errors.New("the peer sent control messages more often than it may")
	ErrStopped      = errors.New("the relay stops")
)

// What Events.Register may wrap.
var (
	ErrUnauthorized     = errors.New("no function of this name takes this token")
	ErrUnknownFunction  = errors.New("no such function")
	ErrRegisterTooOften = errors.New("the function's peers register more often than they may")
)
