// Package dispatch is the concurrent shell around the pure core. It owns each function's lock and timer, carries out what the
// pool decides, and tells the pool what relays, providers and Envoy report.
package dispatch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Options are what a Dispatcher needs from the parts around it.
type Options struct {
	Configuration
	Key     token.Key
	Signing func() signing.Key // the key to sign with now; nil, or the zero Key: invocations are not signed
	Log     logrus.FieldLogger
	// Caretaker makes the dispatcher lease slots of instances, but neither start nor end any.
	Caretaker bool
}

// A Dispatcher holds the pool of every function. It implements extproc.Acquirer, relays.Events, upstream.Source and
// admin.Source.
type Dispatcher struct {
	// Static after Connect.
	relay   Relays
	socket  func(endpoint string) string
	relays  func() []wire.Relay
	changed func(function string)
	key     token.Key
	signing func() signing.Key
	budget  *scaler.Budget // of all functions together
	log     logrus.FieldLogger

	configuring sync.Mutex // held to change the directory or settings; taken before any function's mu
	directory   atomic.Pointer[directory]

	caretaker   bool
	started     chan struct{} // closed by Start
	abandoned   atomic.Bool
	beat        atomic.Pointer[beat] // the last one; nil before the first
	unreachable atomic.Bool          // no Envoy is connected any more
	relayless   atomic.Bool          // no relay is attached any more
	strange     atomic.Int64         // endpoints that relays have made us add to functions that are not configured
	invocations sync.WaitGroup       // providers' Invoke calls under way
	background  sync.WaitGroup       // goroutines of spawn
	stop        context.Context      // of Invoke calls and background work
	cut         context.CancelFunc   // ends stop: Invoke calls return without their answer

	mu        sync.Mutex
	instances map[string]*instance // by id, from start until the invocation's end
}

// Relays are what a Dispatcher commands. After each Expect, Expected or Down must be called.
type Relays interface {
	relays.Commands
	// Note keeps a text for the next leader. It replaces the function's last one.
	Note(function string, text []byte)
}

// New prepares the pools and starts nothing. Connect must follow, before any other method.
func New(o Options) *Dispatcher {
	d := &Dispatcher{
		key:       o.Key,
		signing:   o.Signing,
		budget:    scaler.NewBudget(0),
		changed:   func(string) {},
		log:       o.Log.WithField("component", "dispatch"),
		instances: map[string]*instance{},
		started:   make(chan struct{}),
		caretaker: o.Caretaker,
	}
	if d.signing == nil {
		d.signing = func() signing.Key { return signing.Key{} }
	}
	d.stop, d.cut = context.WithCancel(context.Background())
	d.directory.Store(newDirectory(map[string]*function{}))
	d.Configure(o.Configuration)
	return d
}

// Connection is the other half of a Dispatcher's wiring: parts that were built with the Dispatcher in hand.
type Connection struct {
	Relay   Relays
	Socket  func(endpoint string) string // the unix socket of an endpoint's name
	Relays  func() []wire.Relay          // the relays that peers must dial now; nil: none
	Changed func(function string)        // the function's endpoints changed; must not block
}

// Connect completes the wiring. It is called once, before any part runs that calls the Dispatcher.
func (d *Dispatcher) Connect(c Connection) {
	d.relay, d.socket, d.relays, d.changed = c.Relay, c.Socket, c.Relays, c.Changed
	if d.relays == nil {
		d.relays = func() []wire.Relay { return nil }
	}
}

// Start begins to decide. Call it after all instances of a former leader have been inherited. It starts the minimum of every
// function, and begins to watch their qualifiers.
func (d *Dispatcher) Start() {
	d.configuring.Lock()
	defer d.configuring.Unlock()
	close(d.started)
	for n, f := range d.list() {
		f.open(n)
	}
}

// decides tells whether the dispatcher has started.
func (d *Dispatcher) decides() bool {
	select {
	case <-d.started:
		return true
	default:
		return false
	}
}

// Acquire implements extproc.Acquirer: it returns a lease, or an *admission.Error that says why there is none.
func (d *Dispatcher) Acquire(ctx context.Context, r admission.Request) (*Lease, error) {
	select {
	case <-d.started:
	case <-ctx.Done():
		return nil, admission.Evict(admission.Canceled)
	}
	for {
		f := d.named(r.Function)
		if f == nil && d.caretaker {
			f, _ = d.stranger(r.Function)
		}
		if f == nil {
			return nil, d.refused()
		}
		l, err := f.acquire(ctx, r)
		if errors.Is(err, errForgotten) {
			continue
		}
		if err != nil {
			d.dropIfEmpty(f)
		}
		return l, err
	}
}

// Endpoints implements upstream.Source.
func (d *Dispatcher) Endpoints(name string, buf []upstream.Endpoint) []upstream.Endpoint {
	if f := d.named(name); f != nil {
		buf = f.appendEndpoints(buf)
	}
	return buf
}

// Acked implements upstream.Source.
func (d *Dispatcher) Acked(name string, paths []string) {
	if f := d.named(name); f != nil {
		f.acked(paths)
	}
}

// Expected says that the relays will let the instance's peer in.
func (d *Dispatcher) Expected(id string) {
	if i := d.instance(id); i != nil {
		i.setExpected(true)
	}
}

// Waiting implements relays.Events.
func (d *Dispatcher) Waiting(w relays.Waiting) {
	if i := d.instance(w.Instance); i != nil {
		i.function.waiting(i, w)
	}
}

// Connected implements upstream.Source.
func (d *Dispatcher) Connected(envoys int) {
	d.unreachable.Store(envoys == 0) // before the functions are listed, because open reads it for a function that is added meanwhile
	for _, f := range d.list() {
		f.reach(envoys > 0)
	}
}

// Attached says whether any relay is attached and has reported its instances. Until the first call one is assumed to be.
func (d *Dispatcher) Attached(one bool) {
	d.relayless.Store(!one) // before the functions are listed, because open reads it for a function that is added meanwhile
	for _, f := range d.list() {
		f.attached(one)
	}
}

// Up implements relays.Events.
func (d *Dispatcher) Up(up relays.Up) {
	if i := d.instance(up.Instance); i != nil {
		i.function.up(i, up)
	}
}

// Load implements relays.Events.
func (d *Dispatcher) Load(id string, load relays.Load) {
	if i := d.instance(id); i != nil {
		i.function.reported(i, load)
	}
}

// Notice implements relays.Events.
func (d *Dispatcher) Notice(id string, word wire.Notice) {
	i := d.instance(id)
	switch {
	case i == nil:
	case word == wire.NoticeSerialApp:
		i.function.serial(i)
	case word.Wears():
		i.function.wears(i, word)
	}
}

// Draining implements relays.Events.
func (d *Dispatcher) Draining(id string, reason wire.Reason) {
	if i := d.instance(id); i != nil {
		i.function.draining(i, reason)
	}
}

// Lost implements relays.Events.
func (d *Dispatcher) Lost(id string, err error) {
	if i := d.instance(id); i != nil {
		i.function.lost(i, err)
	}
}

// Away says that an instance cannot be reached, because its relay is gone. Up or Down follows when the relay is back.
func (d *Dispatcher) Away(id string) {
	if i := d.instance(id); i != nil {
		i.function.away(i)
	}
}

// Down implements relays.Events.
func (d *Dispatcher) Down(id string, report *wire.Report, err error) {
	if i := d.instance(id); i != nil {
		i.function.down(i, report, err)
	}
}

// Register implements relays.Events: a peer that nobody invoked joins the function whose token it holds.
func (d *Dispatcher) Register(_ context.Context, bearer string, r wire.Registration) (wire.Invocation, error) {
	f := d.named(r.Function)
	if f == nil {
		return wire.Invocation{}, relays.ErrUnauthorized
	}
	if secret := f.settings().token; secret == nil || !token.Equal(bearer, secret()) {
		return wire.Invocation{}, relays.ErrUnauthorized
	}
	return f.adopt(r)
}

func (d *Dispatcher) instance(id string) *instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.instances[id]
}

func (d *Dispatcher) remember(i *instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.instances[i.id] = i
}

func (d *Dispatcher) forget(i *instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.instances, i.id)
}

// retryOthers lets other functions try to start again after an instance of by has ended, if a ceiling that they share held them
// back.
func (d *Dispatcher) retryOthers(by *function) {
	if account := by.settings().plan.settings.Scaling.Account; !d.budget.Bounded() && account == nil {
		return
	}
	for _, f := range d.list() {
		if f != by && f.blockedBy(scaler.DollarsTotal, scaler.AtAccount) {
			f.tick()
		}
	}
}

// newID makes the id of an instance. It is unique, but no secret: tokens are what lets peers in.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// now is where the shell reads the clock. The core gets the time as an argument.
func now() time.Time { return time.Now() }
