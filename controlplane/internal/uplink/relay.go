package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/kept"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// ErrNoLeader is the answer to a peer that registers while no control plane leads. It tries again.
var ErrNoLeader = errors.New("no control plane leads at the moment: try again")

// Pauses between two attempts at one address. They are short, because attempts at a unix socket cost next to nothing.
const (
	firstPause = 25 * time.Millisecond
	maxPause   = 250 * time.Millisecond
	stood      = time.Second     // after a stream that has stayed up this long, pauses begin at firstPause again
	sayOther   = 5 * time.Second // between two lines about one address: an error may name a port, which is another one each time
)

// A Dial opens a stream to one control plane. The stream ends with ctx.
type Dial func(ctx context.Context) (Stream[Up, Down], error)

// Options are what a Relay needs.
type Options struct {
	Hello tables.Hello
	Dials map[string]Dial         // by the control plane's address
	Dial  func() []wire.Relay     // how peers dial the relay now; nil: as the Hello says
	Wrong func() error            // what is wrong with this process's certificate, and may be why a dial fails; nil: nothing ever is
	Term  uint64                  // the highest term seen by earlier processes
	Seen  func(term uint64) error // stores a higher term before it is obeyed; nil: it is not stored
	Log   logrus.FieldLogger
}

// A Relay is the relay's end of its streams. It implements relays.Events, and passes events on to the leader.
type Relay struct {
	options  Options
	commands relays.Commands
	log      logrus.FieldLogger

	mu      sync.Mutex
	keeper  *tables.Keeper
	book    *kept.Book // nil: nothing is written down
	unkept  string     // why the last change could not be
	session tables.Session
	streams map[tables.Session]*line
	leader  *line                      // the stream that was last obeyed
	unheard map[string]string          // why there is no stream to a control plane, by its address
	asked   uint64                     // registrations so far
	asking  map[uint64]chan Registered // registrations under way
}

// A line is one stream, with what must be sent on it beside the table.
type line struct {
	wake      chan struct{} // see side
	stir      chan struct{} // see side
	stale     bool          // the other end must be told that its term is over
	registers []Registration
}

// NewRelay returns a Relay without streams. Connect must follow before Run.
func NewRelay(o Options) *Relay {
	if o.Seen == nil {
		o.Seen = func(uint64) error { return nil }
	}
	return &Relay{
		options: o, log: o.Log.WithField("component", "uplink"), keeper: tables.NewKeeper(o.Hello, o.Term),
		streams: map[tables.Session]*line{}, asking: map[uint64]chan Registered{}, unheard: map[string]string{},
	}
}

// Connect sets the relay that carries out the leader's commands.
func (r *Relay) Connect(commands relays.Commands) { r.commands = commands }

// Remember begins with what the relay's process before has written down, and writes down what changes from now on. It is called
// before Run. Peers are let in at once.
func (r *Relay) Remember(book *kept.Book, before []tables.Kept) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.book = book
	r.obeyLocked(r.keeper.Remember(now, before))
	r.writeLocked(now)
}

// writeLocked writes down what has changed, before anything is said of it.
func (r *Relay) writeLocked(now time.Time) {
	if r.book == nil {
		return
	}
	err := r.book.Write(now, r.keeper.Changes(now))
	if r.book.Worn(now) {
		err = r.book.Renew(now, r.keeper.Kept(now))
	}
	said := r.unkept
	if r.unkept = ""; err != nil {
		r.unkept = err.Error()
	}
	if r.unkept != "" && r.unkept != said {
		r.log.WithError(err).Error("what is known of instances is not written down: nobody knows of them if relay and leader end together")
	}
}

// Run keeps a stream with every control plane that accepts one, until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	var streams sync.WaitGroup
	for address, dial := range r.options.Dials {
		streams.Go(func() { r.follow(ctx, address, dial) })
	}
	streams.Wait()
	return nil
}

// settles is how long Flush waits before it looks whether anything is left to send.
const settles = 20 * time.Millisecond

// Flush waits until the leader has probably received everything, or ctx ends.
func (r *Relay) Flush(ctx context.Context) {
	for still := false; !still && pause.For(ctx, settles); {
		r.mu.Lock()
		still = !r.keeper.Pending()
		r.mu.Unlock()
	}
}

// Settled is tables.Keeper.Settled.
func (r *Relay) Settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keeper.Settled()
}

// A Status is the state of a Relay.
type Status struct {
	Term     uint64
	Attached bool // to the leader
	Settled  bool
	Kept     int // instances, ended ones included
	Ended    int // instances whose end no leader has acknowledged
	Notes    int
	InFlight int // requests as peers count them

	Unheard map[string]string // why there is no stream to a control plane, by its address; empty while one leads
	Unkept  string            // why what is known of instances is not written down; empty: it is
}

// Status returns the present state.
func (r *Relay) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept, ended := r.keeper.Len()
	s := Status{
		Term: r.keeper.Term(), Attached: r.keeper.Attached(), Settled: r.keeper.Settled(),
		Kept: kept, Ended: ended, Notes: r.keeper.Notes(), InFlight: r.keeper.InFlight(), Unkept: r.unkept,
	}
	if !s.Attached {
		s.Unheard = maps.Clone(r.unheard)
	}
	return s
}

// unheardOf notes why there is no stream to a control plane.
func (r *Relay) unheardOf(address string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unheard[address] = status.Convert(err).Message()
}

// follow keeps opening a stream to one control plane.
func (r *Relay) follow(ctx context.Context, address string, dial Dial) {
	log := r.log.WithField("control_plane", address)
	wait, said, at := firstPause, "", time.Time{}
	for ctx.Err() == nil {
		began := time.Now()
		err := r.attach(ctx, dial)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= stood {
			wait, said, at = firstPause, "", time.Time{}
		}
		ours := Ours(err) // the leader of this process ends its stream when the process ends
		err = r.explain(err)
		r.unheardOf(address, err)
		if text := err.Error(); text != said && time.Since(at) >= sayOther && !ours {
			log.WithError(err).Info("no stream to this control plane: it is dialled again")
			said, at = text, time.Now()
		}
		pause.For(ctx, wait/2+rand.N(wait/2))
		wait = min(2*wait, maxPause)
	}
}

// explain adds what is wrong with this process's certificate: the other end refuses it, and often only the connection's end is seen.
func (r *Relay) explain(err error) error {
	if r.options.Wrong == nil {
		return err
	}
	if wrong := r.options.Wrong(); wrong != nil {
		return fmt.Errorf("this relay's own certificate: %w; it is dialled all the same: %w", wrong, err)
	}
	return err
}

// attach opens a stream and serves it until it ends.
func (r *Relay) attach(ctx context.Context, dial Dial) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := dial(ctx)
	if err != nil {
		return err
	}
	r.dialled()
	session, l, greeting := r.open()
	defer r.close(session, l)
	if err := stream.Send(&Up{Observed: &greeting}); err != nil {
		if _, why := stream.Recv(); why != nil {
			err = why
		}
		return err
	}
	return converse(ctx, stream, side[Up, Down]{
		next: func() *Up { return r.next(session, l) }, wake: l.wake, stir: l.stir, tick: r.dialled,
		receive: func(down *Down) error { return r.receive(session, l, down) },
	})
}

func (r *Relay) open() (tables.Session, *line, tables.Observed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session++
	l := &line{wake: make(chan struct{}, 1), stir: make(chan struct{}, 1)}
	r.streams[r.session] = l
	return r.session, l, r.keeper.Greeting()
}

// close forgets the stream, and gives up the registrations that were sent on it.
func (r *Relay) close(session tables.Session, l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keeper.Close(session)
	delete(r.streams, session)
	if r.leader == l {
		r.leader = nil
		for number, answer := range r.asking {
			close(answer)
			delete(r.asking, number)
		}
	}
}

// dialled updates how peers dial the relay.
func (r *Relay) dialled() {
	if r.options.Dial == nil {
		return
	}
	now := r.options.Dial()
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.keeper.Greeting().Hello.Dial; !slices.Equal(before, now) {
		r.keeper.Dial(now)
		r.wakeLocked()
	}
}

// next returns the next message for a stream; nil if there is none.
func (r *Relay) next(session tables.Session, l *line) *Up {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.stale {
		l.stale = false
		return &Up{Observed: &tables.Observed{Term: r.keeper.Term()}}
	}
	if observed, ok := r.keeper.Next(time.Now(), session); ok {
		return &Up{Observed: &observed}
	}
	if len(l.registers) == 0 {
		return nil
	}
	var up Up
	up.Register, l.registers = together(l.registers)
	return &up
}

// receive obeys a message. The relay has done what it says before the stream says so.
func (r *Relay) receive(session tables.Session, l *line, down *Down) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer wake(l.wake)
	for _, a := range down.Registered {
		r.answerLocked(a)
	}
	if down.Desired == nil {
		return nil
	}
	now, before := time.Now(), r.keeper.Term()
	commands, err := r.keeper.Receive(now, session, *down.Desired)
	r.seenLocked(before, down.Desired.Term)
	r.writeLocked(now)
	if errors.As(err, new(*tables.StaleError)) {
		l.stale = true
		return nil
	}
	if err != nil {
		return err
	}
	r.leader = l
	r.obeyLocked(commands)
	return nil
}

// seenLocked writes a higher term down, before it is obeyed.
func (r *Relay) seenLocked(before, leads uint64) {
	term := r.keeper.Term()
	if term == before {
		return
	}
	if err := r.options.Seen(term); err != nil {
		r.log.WithError(err).Error("the term is not written down: a relay that restarts may obey an older leader")
	}
	if term == leads {
		r.log.WithField("term", term).Info("a control plane leads")
	} else {
		r.log.WithField("term", leads).Warn("two control planes lead the same term, because their lease was lost: neither is obeyed")
	}
}

// obeyLocked carries out commands. The relay makes no calls from within them, so the lock may be held.
func (r *Relay) obeyLocked(commands []tables.Command) {
	now := time.Now()
	for _, c := range commands {
		switch c := c.(type) {
		case tables.Expect:
			r.commands.Expect(expectation(now, c.Expectation))
		case tables.Drain:
			r.commands.Drain(c.Instance, c.Reason)
		case tables.Forget:
			r.commands.Forget(c.Instance)
		}
	}
}

func (r *Relay) wakeLocked() {
	for _, l := range r.streams {
		wake(l.wake)
	}
}
