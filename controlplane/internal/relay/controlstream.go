package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// controlWrite bounds a write. Messages are rare and small, so a write that blocks means that the peer is gone.
const controlWrite = 2 * time.Second

// A controlStream is the relay's end of a peer's control stream. One goroutine reads it.
type controlStream struct {
	inst  *instance
	conn  *peerConn
	lines lines
	hello wire.Message // after attach only its reader changes it, holding the instance's mu

	writing sync.Mutex // guards writes to conn
}

// run reads the hello and all messages, and tells the instance when the stream ends.
func (c *controlStream) run() {
	defer func() { _ = c.conn.Close() }()
	err := c.greet()
	c.inst.ungreetControl(c)
	if err != nil {
		c.refuse(err)
		return
	}
	report, err := c.follow()
	c.inst.lose(c, report, err)
}

// greet reads the hello, which must come within the handshake timeout, and answers it.
func (c *controlStream) greet() error {
	if err := c.conn.tcp.SetReadDeadline(time.Now().Add(c.inst.relay.config.HandshakeTimeout)); err != nil {
		return err
	}
	hello, err := c.next()
	if err != nil {
		return refuse(helloDrop(err), fmt.Sprintf("hello: %v", err))
	}
	if hello.Kind != wire.KindHello {
		return refuse(DropHelloInvalid, fmt.Sprintf("the first message is a %s, not a hello", hello.Kind))
	}
	if hello.Instance != c.inst.Instance {
		return refuse(DropHelloInstance, "the hello's instance is not the token's")
	}
	c.hello = hello
	return c.inst.attach(c)
}

func helloDrop(err error) Drop {
	var version *wire.VersionError
	switch {
	case errors.As(err, &version):
		return DropHelloVersion
	case isTimeout(err):
		return DropHelloTimeout
	default:
		return DropHelloInvalid
	}
}

// refuse tells the peer why the stream is about to be closed.
func (c *controlStream) refuse(err error) {
	var r *refusal
	if !errors.As(err, &r) {
		return
	}
	c.inst.relay.counters.drop(r.drop)
	c.inst.log.WithError(err).WithField("drop", r.drop.String()).Warn("control stream refused")
	if r.drop == DropHelloTimeout {
		return // which the peer takes for a lost connection, and dials again: a refusal would end it for good
	}
	if c.send(wire.Message{Kind: wire.KindRefused, Detail: wire.CutDetail(r.text)}) == nil {
		_ = c.conn.CloseWrite()
	}
}

// follow handles messages until the goodbye, whose report it returns, or until an error.
func (c *controlStream) follow() (*wire.Report, error) {
	if err := c.conn.tcp.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	for drained := false; ; {
		m, err := c.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, relays.ErrControlEnded
		case err != nil:
			return nil, err
		case !c.inst.mayMessage() || m.Kind == wire.KindDrain && drained:
			c.inst.relay.counters.drop(DropMessagesTooOften)
			return nil, relays.ErrTooOften
		case m.Kind == wire.KindWaiting:
			c.inst.waitsFor(c, m.Waiting)
		case m.Kind == wire.KindReady:
			c.inst.appReady(c, m.Left)
		case m.Kind == wire.KindLoad:
			load := relays.Load{
				InFlight: m.InFlight, Requests: uint64(m.Requests), Answers: uint64(m.Answers), Errors: uint64(m.Errors),
				Memory: m.Memory, Way: roundTrip(c.conn.tcp),
			}
			c.inst.tell(func(b *mailbox) { b.load = &load })
		case m.Kind == wire.KindNotice:
			c.inst.tell(func(b *mailbox) { b.noticed(m.Notice) })
		case m.Kind == wire.KindDrain:
			drained = true
			c.inst.tell(func(b *mailbox) { b.draining = m.Reason })
		case m.Kind == wire.KindGoodbye:
			return m.Report, nil
		}
	}
}

// next blocks until a message has come, and returns it if it is valid.
func (c *controlStream) next() (wire.Message, error) {
	line, err := c.lines.next(c.conn)
	if err != nil {
		return wire.Message{}, err
	}
	m, err := wire.DecodeMessage(line)
	if err != nil && c.hello.Kind != "" {
		c.inst.relay.counters.drop(DropControlInvalid)
	}
	return m, err
}

// send writes a message. If that fails it closes the stream, which the reader notices.
func (c *controlStream) send(m wire.Message) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.conn.tcp.SetWriteDeadline(time.Now().Add(controlWrite))
	if err == nil {
		err = wire.NewEncoder(c.conn).Encode(m)
	}
	if err != nil {
		_ = c.conn.Close()
	}
	return err
}

// lines splits a stream into lines. It keeps memory only for an incomplete line.
type lines struct {
	rest []byte
}

// next returns a line without its end. It is valid until the next call.
func (l *lines) next(src source) ([]byte, error) {
	for {
		if line, rest, ok := bytes.Cut(l.rest, []byte{'\n'}); ok {
			l.rest = rest
			return line, checkLength(line)
		}
		if err := checkLength(l.rest); err != nil {
			return nil, err
		}
		if len(l.rest) == 0 {
			l.rest = nil
		}
		b, err := src.read()
		if errors.Is(err, io.EOF) && len(l.rest) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		l.rest = append(l.rest, b.bytes()...)
		b.release()
	}
}

// checkLength checks a line, complete or not, against the limit, which counts the line's end.
func checkLength(line []byte) error {
	if len(line) >= wire.MaxMessage {
		return fmt.Errorf("control message: %w: more than %d bytes", wire.ErrTooLong, wire.MaxMessage)
	}
	return nil
}
