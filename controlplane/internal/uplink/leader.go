package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Sink is who leads. Calls for one relay come in order and do not overlap; they may call the Leader's methods, but for
// Lead and Resign. What Told was given is taken in when it returns.
type Sink interface {
	// Attached: a stream of the relay stands. Its events follow, up to tables.Synced of what it had.
	Attached(relay string, hello tables.Hello)
	Told(relay string, events []tables.Event)
	// Detached: the stream is gone. The relay may attach again. Then it is told what is lost with it.
	Detached(relay string, err error)
	// Register answers a peer that nobody invoked. The error may wrap one of package relays.
	Register(ctx context.Context, relay, token string, r wire.Registration) (wire.Invocation, error)
}

// A Leader takes relays' streams while it leads, and refuses them while it does not. Its other methods do not block on the
// network.
type Leader struct {
	sink Sink
	log  logrus.FieldLogger

	mu      sync.Mutex
	sockets string           // directory of endpoints' sockets, as Envoys are told; empty: not known
	term    uint64           // 0: it does not lead
	sites   map[string]*site // by relay; before the first attaches, one without a name takes what is wanted
}

// NewLeader returns one that does not lead.
func NewLeader(sink Sink, log logrus.FieldLogger) *Leader {
	return &Leader{sink: sink, log: log.WithField("component", "uplink"), sites: map[string]*site{}}
}

// Lead begins a term. Nothing is known of any relay.
func (l *Leader) Lead(term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term
	l.sites = map[string]*site{nobody: l.newSite(nobody)}
}

// nobody is the name of the relay that has not attached yet.
const nobody = ""

func (l *Leader) newSite(name string) *site {
	return &site{name: name, term: l.term, streams: bucket.New(maxStreams, streamsAtOnce), sink: l.sink, log: l.log.WithField("relay", name), mirror: tables.NewMirror(l.term)}
}

// Resign ends all streams, and returns when the sink is not called any more.
func (l *Leader) Resign() {
	l.mu.Lock()
	sites := l.sites
	l.term, l.sites = 0, map[string]*site{}
	l.mu.Unlock()
	for _, s := range sites {
		s.enter(ErrStandby)()
	}
}

// Renew ends all streams, and returns when what came on them is told. What comes on the next ones is what there is by now.
func (l *Leader) Renew() {
	l.mu.Lock()
	sites := slices.Collect(maps.Values(l.sites))
	l.mu.Unlock()
	for _, s := range sites {
		s.enter(ErrAnew)()
	}
}

// Ours tells whether this end is why a stream has ended, or a later stream of the same relay.
func Ours(err error) bool {
	return errors.Is(err, ErrStandby) || errors.Is(err, ErrReplaced) || errors.Is(err, ErrAnew)
}

// Expect wants an instance's peer let in, by every relay that has attached in this term and is not gone, or if none has by the first
// that does.
func (l *Leader) Expect(e tables.Expectation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	gone := l.gone(now)
	for name, s := range l.sites {
		if !gone[name] { // else it would be kept for as long as this leader leads
			s.with(func(m *tables.Mirror) { m.Expect(now, e) })
		}
	}
}

// goneAfter is how long a relay is not heard until it counts as gone, where another is attached: that may have taken its place under a
// name of its own.
const goneAfter = time.Minute

// gone tells which relays are. The caller holds l.mu.
func (l *Leader) gone(now time.Time) map[string]bool {
	gone, attached := map[string]bool{}, false
	for name, s := range l.sites {
		s.with(func(m *tables.Mirror) {
			attached = attached || m.Attached()
			gone[name] = unheard(m, now)
		})
	}
	if !attached {
		return nil
	}
	return gone
}

func unheard(m *tables.Mirror, now time.Time) bool {
	return !m.Attached() && now.Sub(m.Confirmed()) > goneAfter
}

// makeRoom forgets a relay that is not heard any more, for another, and tells whether there was one. The caller holds l.mu.
func (l *Leader) makeRoom(now time.Time) (gone bool) {
	for name, s := range l.sites {
		if s.with(func(m *tables.Mirror) { gone = unheard(m, now) }); gone {
			delete(l.sites, name)
			return true
		}
	}
	return false
}

// Drain wants an instance's peer told to finish.
func (l *Leader) Drain(instance string, reason wire.Reason) {
	l.each(func(m *tables.Mirror, _ time.Time) { m.Drain(instance, reason) })
}

// Forget wants all closed that belongs to an instance.
func (l *Leader) Forget(instance string) {
	l.each(func(m *tables.Mirror, _ time.Time) { m.Forget(instance) })
}

// Note leaves a note with every relay.
func (l *Leader) Note(n tables.Note) {
	l.each(func(m *tables.Mirror, now time.Time) { m.Note(now, n) })
}

// Ping asks every relay for a sign of life: its RelayStatus.Confirmed is later than now once it has heard all that was said so far.
func (l *Leader) Ping() {
	l.each(func(m *tables.Mirror, _ time.Time) { m.Ping() })
}

func (l *Leader) each(do func(*tables.Mirror, time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, s := range l.sites {
		s.with(func(m *tables.Mirror) { do(m, now) })
	}
}

// A RelayStatus is how a relay stands.
type RelayStatus struct {
	Hello     tables.Hello
	Attached  bool
	Gone      bool      // it is not heard any more, and another relay is: peers need not dial it
	Synced    bool      // all that it had has been told
	Confirmed time.Time // when it was last known to have seen no higher term; zero: never
}

// Relays are those that have attached in this term, by name.
func (l *Leader) Relays() map[string]RelayStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	out, gone := make(map[string]RelayStatus, len(l.sites)), l.gone(time.Now())
	for name, s := range l.sites {
		if name == nobody {
			continue
		}
		s.with(func(m *tables.Mirror) {
			out[name] = RelayStatus{m.Hello(), m.Attached(), gone[name], m.Synced(), m.Confirmed()}
		})
	}
	return out
}

// Serve carries one stream of a relay to its end.
func (l *Leader) Serve(ctx context.Context, stream Stream[Down, Up]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.Observed == nil || first.Observed.Hello == nil {
		return errors.New("the first message holds no hello")
	}
	if err := mayBe(ctx, first.Observed.Hello.Relay); err != nil {
		return err
	}
	s, err := l.siteOf(*first.Observed)
	if err != nil {
		if !errors.Is(err, ErrStandby) {
			l.log.WithField("relay", first.Observed.Hello.Relay).WithError(err).Warn("a relay is refused")
		}
		return err
	}
	return s.serve(ctx, stream, *first.Observed)
}

// Sockets says where Envoys are told that endpoints' sockets are. A relay that has them elsewhere is refused: no request would reach
// what it serves.
func (l *Leader) Sockets(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets = dir
}

// siteOf finds the relay that greets. The error says why it may not attach.
func (l *Leader) siteOf(greeting tables.Observed) (*site, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hello := greeting.Hello
	switch {
	case l.term == 0:
		return nil, ErrStandby
	case greeting.Term > l.term+maxAhead:
		return nil, fmt.Errorf("%w: %d, where the leader's is %d", ErrTerm, greeting.Term, l.term)
	case hello.Sockets != "" && l.sockets != "" && hello.Sockets != l.sockets:
		return nil, fmt.Errorf("%w: in %s, and not in %s: give relays and control planes the same state_dir", ErrSockets, hello.Sockets, l.sockets)
	}
	return l.siteLocked(hello.Relay)
}

func (l *Leader) siteLocked(name string) (*site, error) {
	s, first := l.sites[name], l.sites[nobody]
	switch {
	case s != nil:
	case first != nil:
		s = first
		s.name, s.log = name, l.log.WithField("relay", name)
		delete(l.sites, nobody)
	case len(l.sites) >= maxRelays && !l.makeRoom(time.Now()):
		return nil, errors.New("there are as many relays as there may be")
	default:
		s = l.newSite(name)
	}
	l.sites[name] = s
	if !s.streams.Try(time.Now()) {
		return nil, ErrTooOften
	}
	return s, nil
}

// mayBe refuses a relay that takes the name of another: its certificate says who it is.
func mayBe(ctx context.Context, relay string) error {
	if c, ok := trust.CallerOf(ctx); ok && c.ID.Name != "" && c.ID.Name != relay {
		return status.Errorf(codes.PermissionDenied, "%s says that it is the relay %.80q", c.ID, relay)
	}
	return nil
}
