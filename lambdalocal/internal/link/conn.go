package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkSize = 32 << 10
	// maxUnderway bounds the chunks that wait for their time, in each direction: latency is no bandwidth limit until then.
	maxUnderway = 64
	dialLimit   = 5 * time.Second
)

// whileHeard finds out, after a silence, that an end has died during it. The kernel probes at once when a silence of more than Idle
// is over; so the other end learns what its own next packet would have told it if there were no link in between.
var whileHeard = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 5}

// A conn is one forwarded connection.
type conn struct {
	link    *Link
	client  *net.TCPConn
	ctx     context.Context // ends with the connection
	end     context.CancelFunc
	gate    gate // closed while silent
	latency atomic.Int64
	owner   atomic.Pointer[Environment] // nil: not known

	mu     sync.Mutex
	server *net.TCPConn // nil before it was dialled
	silent bool
	broken bool
}

func newConn(ctx context.Context, l *Link, client *net.TCPConn) *conn {
	c := &conn{link: l, client: client}
	c.ctx, c.end = context.WithCancel(ctx)
	c.gate.set(true)
	_ = client.SetKeepAliveConfig(whileHeard)
	return c
}

func (c *conn) chosenBy(s Selector) bool {
	return !s.selective() || !identifies || s.chooses(c.owner.Load())
}

// run forwards until both directions have ended, or one broke, or ctx ended.
func (c *conn) run() {
	stop := context.AfterFunc(c.ctx, c.reset)
	defer stop()
	if !c.dial() {
		c.reset()
		return
	}
	var directions sync.WaitGroup
	directions.Go(func() { c.carry(c.server, c.client) })
	directions.Go(func() { c.carry(c.client, c.server) })
	directions.Wait()
	c.close()
}

// dial connects to the other end, once there is no silence.
func (c *conn) dial() bool {
	if !c.gate.pass(c.ctx) {
		return false
	}
	server, err := (&net.Dialer{Timeout: dialLimit, KeepAliveConfig: whileHeard}).DialContext(c.ctx, "tcp", c.link.cfg.To)
	if err != nil {
		c.link.cfg.Log.WithError(err).Debug("link leads nowhere")
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server.(*net.TCPConn)
	if c.silent {
		silence(c.server)
	}
	return !c.broken // it may have been reset meanwhile
}

// obey puts a rule into force.
func (c *conn) obey(r Rule) {
	c.latency.Store(int64(r.Latency))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken || c.silent == r.Silent {
		return
	}
	c.silent = r.Silent
	change := silence
	if !r.Silent {
		change = hear
	}
	c.gate.set(!r.Silent)
	for _, end := range []*net.TCPConn{c.client, c.server} {
		if end != nil {
			change(end)
		}
	}
}

// reset ends the connection at once, for both ends. It is harmless to one that has ended.
func (c *conn) reset() {
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	for _, end := range []*net.TCPConn{c.client, c.server} {
		if end != nil {
			_ = end.SetLinger(0)
			_ = end.Close()
		}
	}
}

// close gives up a connection whose directions have ended. What the kernel has not sent yet it sends.
func (c *conn) close() {
	c.mu.Lock()
	c.broken = true
	_ = c.client.Close()
	_ = c.server.Close()
	c.mu.Unlock()
	c.end()
}

// A chunk is on its way. Without data it is the end.
type chunk struct {
	data []byte
	due  time.Time
}

// carry moves one direction's bytes. It returns when their end was passed on, or the connection is broken.
func (c *conn) carry(to, from *net.TCPConn) {
	line := make(chan chunk, maxUnderway)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(line)
		c.read(from, line)
	})
	c.write(to, line)
	for range line { // the reader may be blocked on a full line
	}
	reading.Wait()
}

func (c *conn) read(from *net.TCPConn, line chan<- chunk) {
	buffer := make([]byte, chunkSize)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			line <- chunk{bytes.Clone(buffer[:n]), c.due()}
		}
		switch {
		case errors.Is(err, io.EOF):
			line <- chunk{nil, c.due()}
			return
		case err != nil:
			c.reset()
			return
		}
	}
}

// due is when a chunk that was read now is to be written. The line keeps the order if the latency falls.
func (c *conn) due() time.Time { return time.Now().Add(time.Duration(c.latency.Load())) }

func (c *conn) write(to *net.TCPConn, line <-chan chunk) {
	for next := range line {
		if !c.await(next.due) || !c.gate.pass(c.ctx) {
			return
		}
		if next.data == nil {
			_ = to.CloseWrite()
			return
		}
		if _, err := to.Write(next.data); err != nil {
			c.reset()
			return
		}
	}
}

// await waits until due. It returns false if the connection ends before.
func (c *conn) await(due time.Time) bool {
	left := time.Until(due)
	if left <= 0 {
		return c.ctx.Err() == nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// A gate lets pass while it is open. Its zero value must be set.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !open:
		g.open = make(chan struct{})
	case g.open == nil:
		g.open = make(chan struct{})
		close(g.open)
	default:
		close(g.open)
	}
}

// pass waits until the gate is open. It returns false if ctx ends before.
func (g *gate) pass(ctx context.Context) bool {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
