// Package link stands for the network between environments and one address outside: it forwards TCP connections, and
// resets, silences, refuses or delays them, all or those of one environment.
package link

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/patient"
)

// Config says what to forward.
type Config struct {
	Listen string // host:port that environments dial
	To     string // host:port outside
	// Environments lists those whose connections rules may select, and their processes.
	Environments func() []Environment
	Log          logrus.FieldLogger
}

// An Environment is one whose connections are to be known.
type Environment struct {
	ID       string
	Function string
	PIDs     []int // with all that they started
}

// A Selector chooses connections. Its zero value chooses all. Where a connection's environment cannot be found out (not on
// Linux), every Selector chooses all.
type Selector struct {
	Function    string
	Environment string
}

func (s Selector) selective() bool { return s != Selector{} }

func (s Selector) chooses(e *Environment) bool {
	return e != nil && (s.Function == "" || s.Function == e.Function) && (s.Environment == "" || s.Environment == e.ID)
}

// A Rule is in force until the next Apply.
type Rule struct {
	Selector
	Silent  bool          // nothing passes, and the kernels of both ends hear nothing, no acknowledgement either
	Refuse  bool          // reset new connections
	Latency time.Duration // added to each direction
}

// A Link forwards the connections of one port.
type Link struct {
	// Static after New.
	cfg      Config
	listener *net.TCPListener
	tasks    sync.WaitGroup

	mu      sync.Mutex
	rules   []Rule
	version int // of the rules
	conns   map[*conn]struct{}
}

// New opens the port. Run must follow, also to close it.
func New(cfg Config) (*Link, error) {
	listener, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	cfg.Log = cfg.Log.WithFields(logrus.Fields{"link": listener.Addr().String(), "to": cfg.To})
	return &Link{cfg: cfg, listener: listener.(*net.TCPListener), conns: map[*conn]struct{}{}}, nil
}

// Addr is the host:port that environments dial.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Run forwards until ctx ends, and returns when every connection and goroutine has ended.
func (l *Link) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.listener.Close() })
	defer stop()
	listener := patient.Listener(l.listener, l.cfg.Log)
	for {
		client, err := listener.Accept()
		if err != nil { // closed
			l.tasks.Wait()
			return
		}
		l.take(ctx, client.(*net.TCPConn))
	}
}

// take forwards a connection in the background, unless a rule says no. Finding out whose it is may take a while, in which
// others must not wait.
func (l *Link) take(ctx context.Context, client *net.TCPConn) {
	c := newConn(ctx, l, client)
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	l.tasks.Go(func() {
		defer l.forget(c)
		if l.admit(c) {
			c.run()
		}
	})
}

// Serve forwards one connection, whose environment is known, until it has ended, or the link has, or ctx.
func (l *Link) Serve(ctx context.Context, client *net.TCPConn, owner Environment) {
	c := newConn(ctx, l, client)
	c.owner.Store(&owner)
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	defer l.forget(c)
	if l.admit(c) {
		c.run()
	}
}

// admit puts the rules into force for a new connection. It returns false if they refuse it.
func (l *Link) admit(c *conn) bool {
	for {
		rules, version := l.current()
		l.identify(selectors(rules), []*conn{c})
		l.mu.Lock()
		if l.version != version {
			l.mu.Unlock()
			continue
		}
		state := stateOf(c, rules)
		c.obey(state)
		l.mu.Unlock()
		if state.Refuse {
			c.reset()
		}
		return !state.Refuse
	}
}

func (l *Link) current() (rules []Rule, version int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rules, l.version
}

func (l *Link) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// Apply replaces the rules. A connection that was silent and is not any more continues where it stopped.
func (l *Link) Apply(rules []Rule) {
	l.mu.Lock()
	l.rules = rules
	l.version++
	version := l.version
	conns := l.connsLocked()
	l.mu.Unlock()
	l.identify(selectors(rules), conns)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version != version {
		return // a later Apply does the rest
	}
	for _, c := range conns {
		c.obey(stateOf(c, rules))
	}
}

// Reset resets, towards both ends, the selected connections that are open now, and tells how many.
func (l *Link) Reset(s Selector) (count int) {
	l.mu.Lock()
	conns := l.connsLocked()
	l.mu.Unlock()
	l.identify([]Selector{s}, conns)
	for _, c := range conns {
		if c.chosenBy(s) {
			c.reset()
			count++
		}
	}
	return count
}

func (l *Link) connsLocked() []*conn {
	all := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		all = append(all, c)
	}
	return all
}

// identify finds out which of the connections belong to environments that are selected.
func (l *Link) identify(selectors []Selector, conns []*conn) {
	if !slices.ContainsFunc(selectors, Selector.selective) {
		return
	}
	var wanted []Environment
	for _, e := range l.cfg.Environments() {
		if slices.ContainsFunc(selectors, func(s Selector) bool { return s.selective() && s.chooses(&e) }) {
			wanted = append(wanted, e)
		}
	}
	if len(wanted) > 0 {
		identify(l.listener.Addr(), wanted, conns)
	}
}

func selectors(rules []Rule) []Selector {
	var all []Selector
	for _, r := range rules {
		all = append(all, r.Selector)
	}
	return all
}

// stateOf adds up the rules that choose the connection.
func stateOf(c *conn, rules []Rule) (state Rule) {
	for _, r := range rules {
		if c.chosenBy(r.Selector) {
			state.Silent = state.Silent || r.Silent
			state.Refuse = state.Refuse || r.Refuse
			state.Latency += r.Latency
		}
	}
	return state
}
