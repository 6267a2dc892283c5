package uplink

import (
	"context"
	"crypto/rand"
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

// A Sink receives what relays tell a Leader. Calls for one relay come in order and do not overlap. They may call the Leader's
// methods except Lead, Renew, Resign and Serve.
type Sink interface {
	// Attached: the relay has opened a stream. Its events follow; those up to tables.Synced are about what it had.
	Attached(relay string, hello tables.Hello)
	// Told: events of the relay. When Told returns they count as taken in, and the relay may forget ends.
	Told(relay string, events []tables.Event)
	// Detached: the stream has ended. The relay may attach again. A last Told may follow, with what is lost.
	Detached(relay string, err error)
	// Register answers a peer that registers by itself. The error may wrap one of package relays.
	Register(ctx context.Context, relay, token string, r wire.Registration) (wire.Invocation, error)
}

// A Leader accepts streams of relays while it leads, and refuses them otherwise. Its methods do not block on the network, except
// Serve; Renew and Resign wait for calls of the sink that are under way.
type Leader struct {
	sink Sink
	log  logrus.FieldLogger
	me   string // this process, for relays

	mu      sync.Mutex
	sockets string             // directory of endpoints' sockets, as Envoys are told; empty: not known
	term    uint64             // 0: it does not lead
	said    map[string]refused // by relay; nil: nothing yet
	sites   map[string]*site   // by relay; before the first one attaches, that of nobody collects wants
}

// NewLeader returns a Leader that does not lead yet.
func NewLeader(sink Sink, log logrus.FieldLogger) *Leader {
	return &Leader{sink: sink, me: rand.Text(), log: log.WithField("component", "uplink"), sites: map[string]*site{}}
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
	return &site{name: name, term: l.term, streams: bucket.New(maxStreams, streamsAtOnce), sink: l.sink, log: l.log.WithField("relay", name), mirror: tables.NewMirror(l.term, l.me)}
}

// Resign ends all streams and the term. It returns when the sink is not called any more.
func (l *Leader) Resign() {
	l.mu.Lock()
	sites := l.sites
	l.term, l.sites = 0, map[string]*site{}
	l.mu.Unlock()
	for _, s := range sites {
		s.enter(ErrStandby)()
	}
}

// Renew ends all streams, and returns when everything that came on them was told. Relays attach again, and send what they have
// then.
func (l *Leader) Renew() {
	l.mu.Lock()
	sites := slices.Collect(maps.Values(l.sites))
	l.mu.Unlock()
	for _, s := range sites {
		s.enter(ErrAnew)()
	}
}

// Ours tells whether a stream was ended by this side, or by a later stream of the same relay.
func Ours(err error) bool {
	return errors.Is(err, ErrStandby) || errors.Is(err, ErrReplaced) || errors.Is(err, ErrAnew)
}

// Expect makes relays let an instance's peer in: all that have attached in this term and are not gone. If none has attached, the
// first one that does lets it in.
func (l *Leader) Expect(e tables.Expectation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	gone := l.gone(now)
	for name, s := range l.sites {
		if !gone[name] { // the expectation would be kept for the whole term
			s.with(func(m *tables.Mirror) { m.Expect(now, e) })
		}
	}
}

// goneAfter is how long a relay must be silent to count as gone, if another one is attached. That may have replaced it under
// another name.
const goneAfter = time.Minute

// gone tells which relays are gone. The caller holds l.mu.
func (l *Leader) gone(now time.Time) map[string]bool {
	gone, attached := map[string]bool{}, false
	for name, s := range l.sites {
		s.with(func(m *tables.Mirror) {
			attached = attached || m.Attached()
			gone[name] = isGone(m, now)
		})
	}
	if !attached {
		return nil
	}
	return gone
}

// replace tells the sink that what relays had that are gone has ended, unless other relays have it.
func (l *Leader) replace() {
	l.mu.Lock()
	gone := l.gone(time.Now())
	var lost, others []*site
	for name, s := range l.sites {
		if gone[name] {
			lost = append(lost, s)
		} else {
			others = append(others, s)
		}
	}
	l.mu.Unlock()
	for _, s := range lost {
		s.replace(func(instance string) bool {
			return slices.ContainsFunc(others, func(other *site) bool { return other.serves(instance) })
		})
	}
}

// isGone tells whether a relay has been silent for so long that it counts as gone.
func isGone(m *tables.Mirror, now time.Time) bool {
	return !m.Attached() && now.Sub(m.Confirmed()) > goneAfter
}

// makeRoom forgets a relay that is gone, to make room for another, and tells whether there was one. The caller holds l.mu.
func (l *Leader) makeRoom(now time.Time) (gone bool) {
	for name, s := range l.sites {
		if s.with(func(m *tables.Mirror) { gone = isGone(m, now) }); gone {
			delete(l.sites, name)
			return true
		}
	}
	return false
}

// Drain makes relays tell an instance's peer to finish.
func (l *Leader) Drain(instance string, reason wire.Reason) {
	l.each(func(m *tables.Mirror, _ time.Time) { m.Drain(instance, reason) })
}

// Forget makes relays close everything that belongs to an instance.
func (l *Leader) Forget(instance string) {
	l.each(func(m *tables.Mirror, _ time.Time) { m.Forget(instance) })
}

// Note leaves a note with every relay.
func (l *Leader) Note(n tables.Note) {
	l.each(func(m *tables.Mirror, now time.Time) { m.Note(now, n) })
}

// Ping asks every relay for a sign of life. Its RelayStatus.Confirmed is later than now once it has received everything sent so
// far.
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

// A RelayStatus is what the leader knows about a relay.
type RelayStatus struct {
	Hello     tables.Hello
	Attached  bool
	Gone      bool      // it is silent, and another relay is attached: peers need not dial it
	Synced    bool      // it has sent everything that it had when it attached
	Confirmed time.Time // when it was last known to have seen no higher term; zero: never
}

// Relays returns the relays that have attached in this term, by name.
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
		if !errors.Is(err, ErrStandby) && l.isNews(first.Observed.Hello.Relay, err) {
			l.log.WithField("relay", first.Observed.Hello.Relay).WithError(err).Warn("a relay is refused")
		}
		return err
	}
	return s.serve(ctx, stream, *first.Observed, l.replace)
}

// Sockets sets the directory in which Envoys are told that the endpoints' sockets are. A relay with another directory is refused,
// because no request would reach its instances.
func (l *Leader) Sockets(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets = dir
}

// siteOf finds the site of a relay that attaches. The error says why it may not.
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
	return l.siteLocked(hello.Relay, hello.Boot)
}

// sayAgain is how long the same refusal of a relay is logged once. Relays dial several times a second.
const sayAgain = time.Minute

// refused is what was said of a relay, and when.
type refused struct {
	why string
	at  time.Time
}

// isNews tells whether a refusal is logged. The same one of the same relay is not within sayAgain.
func (l *Leader) isNews(relay string, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if said := l.said[relay]; said.why == err.Error() && now.Sub(said.at) < sayAgain {
		return false
	}
	if l.said == nil || len(l.said) >= maxRelays {
		l.said = map[string]refused{}
	}
	l.said[relay] = refused{err.Error(), now}
	return true
}

func (l *Leader) siteLocked(name, boot string) (*site, error) {
	s, first := l.sites[name], l.sites[nobody]
	switch {
	case s != nil && s.isAnothers(boot):
		return nil, ErrTwice
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

// mayBe refuses a relay whose name is not that of its certificate.
func mayBe(ctx context.Context, relay string) error {
	if c, ok := trust.CallerOf(ctx); ok && c.ID.Name != "" && c.ID.Name != relay {
		return status.Errorf(codes.PermissionDenied, "%s says that it is the relay %.80q", c.ID, relay)
	}
	return nil
}
