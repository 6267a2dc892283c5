// Package relays has what a relay and the control plane tell each other about instances: which to expect, and which are up.
package relays

import (
	"context"
	"errors"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// An Expectation announces an instance to the relay before its peer dials: whose tunnels to accept, and for which endpoint.
type Expectation struct {
	Instance string
	Function string
	Endpoint string    // endpoint name, "web/0007"
	Expires  time.Time // the relay forgets the instance if no control stream was opened by then
	StartBy  time.Time // when the start is given up, which a peer whose app is not ready is told; zero: never
	Dollars  float64   // dollars per hour that it claims
	Memo     []byte    // a text about it for the next leader; at most 1 KiB
}

// An Inheritance is an instance that a former leader has announced, as its relay knows it. Events say what has happened to it.
type Inheritance struct {
	Instance    string
	Function    string
	Endpoint    string
	Dollars     float64
	Memo        []byte
	Age         time.Duration // since it was announced
	UpFor       time.Duration // since it was first up; 0: it never was
	Cold        bool
	Environment string
	Drain       wire.Reason // why its peer was told to finish; empty: it was not
}

// MaxNote bounds the text of a Note, in bytes. A relay takes no longer one.
const MaxNote = 64 << 10

// A Note is what a leader leaves for the next one about a function.
type Note struct {
	Function string
	Text     []byte        // at most MaxNote
	Age      time.Duration // since it was written
}

// Commands is what the control plane tells a relay. No method blocks on the network.
type Commands interface {
	// Expect makes the relay accept tunnels and control streams of an instance.
	Expect(Expectation)
	// Drain tells the instance's peer to take no new request, finish, and end its invocation.
	Drain(instance string, reason wire.Reason)
	// Forget closes everything that belongs to the instance at once. Its token opens nothing afterwards.
	Forget(instance string)
}

// Events is what a relay tells the control plane. Calls for one instance come in order and never overlap: any number of Waiting,
// then Up, then any number of Load and Notice and at most one Draining. After Lost another Up may follow. Every expected instance
// ends with exactly one Down, also one that never came up, and one that was forgotten. No call is made from within a method of
// Commands, so a caller of those may hold its locks. Implementations return quickly: they write a line to a file at most.
type Events interface {
	// Waiting: a peer is there whose app does not take requests yet.
	Waiting(Waiting)
	// Up: the instance's socket listens, and a tunnel is ready behind it.
	Up(Up)
	// Load: how many requests the peer counts as in flight.
	Load(instance string, load Load)
	// Notice: the peer has noticed something about its app or environment. The word may be of a later build.
	Notice(instance string, word wire.Notice)
	// Draining: the peer drains by its own decision.
	Draining(instance string, reason wire.Reason)
	// Lost: the control stream broke off, and the socket is gone. Requests go on as long as their tunnels do. If the peer comes
	// back, Up follows; otherwise Down follows soon.
	Lost(instance string, err error)
	// Down: the control stream has ended, all tunnels are closed, the socket is gone, and the instance's token opens nothing
	// any more. report is nil if the peer said no goodbye. Then err says why: it wraps ErrNeverDialled, ErrForgotten,
	// ErrControlEnded, ErrTooOften, ErrStopped or ErrReplaced, or is the error of the connection.
	Down(instance string, report *wire.Report, err error)
	// Register answers a peer that registers by itself. The peer is shown the text of an error. The status is 401, 404 or 429
	// for an error that wraps ErrUnauthorized, ErrUnknownFunction or ErrRegisterTooOften, and 503 for any other. After 429
	// and 503 the peer tries again later.
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

// A Load is what a peer counted a short while ago.
type Load struct {
	InFlight int
	Requests uint64        // since the instance began; 0: not known
	Answers  uint64        // since the instance began
	Errors   uint64        // answers that were 5xx
	Memory   int64         // bytes that the environment's processes hold; 0: not known
	Way      time.Duration // bound on the report's way: a round trip as the kernel measures it, and its variation; 0: not known
}

// Waiting describes an instance whose peer waits for the app.
type Waiting struct {
	Instance    string
	Environment string
	What        string // what the app did last, in the peer's words; never empty
	Peer        Peer
}

// A Peer is what the hello says about the peer. All of it may be missing, because older peers say nothing.
type Peer struct {
	Build           string        // its release or revision, for people
	Features        wire.Features // what it does beyond the first version of the protocol
	FunctionVersion string        // of the function's code: a number or $LATEST
	RequestID       string        // Lambda's id of the invocation
	LogStream       string        // where the invocation logs
}

// How an instance can end without a goodbye.
var (
	ErrNeverDialled = errors.New("the peer opened no control stream in time")
	ErrForgotten    = errors.New("the control plane gave the instance up")
	ErrControlEnded = errors.New("the control stream ended without a goodbye")
	ErrTooOften     = errors.New("the peer sent control messages more often than it may")
	ErrStopped      = errors.New("the relay stops")
	ErrReplaced     = errors.New("its relay is gone, and another is there")
)

// Errors that Events.Register may wrap.
var (
	ErrUnauthorized     = errors.New("no function of this name takes this token")
	ErrUnknownFunction  = errors.New("no such function")
	ErrRegisterTooOften = errors.New("the function's peers register more often than they may")
)
