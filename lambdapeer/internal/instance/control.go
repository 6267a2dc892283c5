package instance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/tunnel"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// controlWrite bounds one write. Control messages are small and the relay always reads, so only a dead relay makes a write slow,
// or a stall of this process in the middle of it. So it is longer than any stall that is worth surviving.
const controlWrite = 3 * time.Second

// errHelloRefused says that the relay has answered the hello with a refusal.
var errHelloRefused = errors.New("relay refused the hello")

// control is a control stream. send may be called by any goroutine, receive by one.
type control struct {
	conn *tunnel.Conn
	dec  *wire.Decoder

	waiting   string        // what the app waited for, according to its hello; empty: nothing
	startLeft time.Duration // how long the start might still take at the welcome; 0: no limit

	mu  sync.Mutex // guards the encoder
	enc *wire.Encoder
}

// openControl dials a control stream, says hello and waits for the welcome.
func openControl(ctx context.Context, d *tunnel.Dialer, hello wire.Message) (*control, error) {
	conn, err := d.Dial(ctx, wire.ControlPath)
	if err != nil {
		return nil, err
	}
	c := &control{conn: conn, dec: wire.NewDecoder(conn), enc: wire.NewEncoder(conn)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := c.greet(hello); err != nil {
		conn.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("hello: %w", err)
	}
	return c, nil
}

func (c *control) greet(hello wire.Message) error {
	if err := c.send(hello); err != nil {
		return err
	}
	answer, err := c.receive()
	switch {
	case err != nil:
		return err
	case answer.Kind == wire.KindRefused:
		return fmt.Errorf("%w: %s", errHelloRefused, answer.Detail)
	case answer.Kind != wire.KindWelcome:
		return fmt.Errorf("relay answered with %q, not with a welcome", answer.Kind)
	}
	c.waiting, c.startLeft = hello.Waiting, answer.StartLeft.Duration()
	return nil
}

// receive blocks for the next message.
func (c *control) receive() (wire.Message, error) { return c.dec.Decode() }

// send writes m, for at most controlWrite. A failed write closes the stream, because part of the message may have been sent.
func (c *control) send(m wire.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(controlWrite))
	err := c.enc.Encode(m)
	if err != nil {
		c.conn.Close()
	}
	return err
}

func (c *control) close() { c.conn.Close() }
