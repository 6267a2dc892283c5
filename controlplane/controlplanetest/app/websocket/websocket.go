// Package websocket is RFC 6455 as far as the tests need it: both handshakes, messages, pings and close codes. No
// extensions, no subprotocols, no TLS. One goroutine reads a Conn and one writes it.
package websocket

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // the RFC says so; nothing is secured by it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
)

// An Opcode is the type of a frame. Messages are Text or Binary.
type Opcode byte

// Opcodes.
const (
	continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	closing      Opcode = 0x8
	ping         Opcode = 0x9
	pong         Opcode = 0xA
)

// Close codes.
const (
	NormalClosure   = 1000
	ProtocolFailure = 1002
	NoStatus        = 1005 // a close frame without a code; never sent
	TooBig          = 1009
)

// MaxMessage is the most bytes that Read takes as one message.
const MaxMessage = 16 << 20

// A CloseError is returned by Read when the other side closed the socket in the way of the protocol.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("websocket closed: %d %s", e.Code, e.Reason) }

// A Conn is one end of a WebSocket.
type Conn struct {
	conn   net.Conn
	reader *bufio.Reader
	client bool // we mask, they do not

	mu     sync.Mutex // guards writes: Read answers pings and closes
	closed bool
}

// Read returns the next message. It answers pings, and close frames with the same code; after that it returns a
// *CloseError and the caller should call Drop.
func (c *Conn) Read() (Opcode, []byte, error) {
	var kind Opcode
	var message []byte
	for {
		f, err := readFrame(c.reader, MaxMessage-len(message), !c.client)
		if err != nil {
			return 0, nil, c.failed(err)
		}
		if f.opcode >= closing {
			if err := c.control(f); err != nil {
				return 0, nil, err
			}
			continue
		}
		if (f.opcode == continuation) == (kind == 0) {
			return 0, nil, c.failed(&protocolError{ProtocolFailure, "fragment out of order"})
		}
		if f.opcode != continuation {
			kind = f.opcode
		}
		message = append(message, f.payload...)
		if f.final {
			return kind, message, nil
		}
	}
}

// failed tells the other side what it did wrong, if it was that.
func (c *Conn) failed(err error) error {
	var p *protocolError
	if errors.As(err, &p) {
		_ = c.Close(p.code, p.what) // the socket is of no more use either way
	}
	return err
}

func (c *Conn) control(f frame) error {
	switch f.opcode {
	case ping:
		return c.write(pong, f.payload)
	case closing:
		code, reason := NoStatus, ""
		if len(f.payload) >= 2 {
			code, reason = int(binary.BigEndian.Uint16(f.payload)), string(f.payload[2:])
		}
		_ = c.write(closing, f.payload) // when the other side did not wait for it, it has what it wanted
		return &CloseError{Code: code, Reason: reason}
	}
	return nil
}

// Write sends one message.
func (c *Conn) Write(opcode Opcode, message []byte) error { return c.write(opcode, message) }

// Ping asks the other side for a pong, which Read skips.
func (c *Conn) Ping() error { return c.write(ping, nil) }

// Close sends a close frame. The other side answers it, so go on with Read until it returns an error; then Drop.
func (c *Conn) Close(code int, reason string) error {
	return c.write(closing, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...))
}

// Drop closes the connection below, without a word to the other side. It is harmless twice.
func (c *Conn) Drop() error { return c.conn.Close() }

func (c *Conn) write(opcode Opcode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed { // nothing may follow a close frame
		return net.ErrClosed
	}
	c.closed = opcode == closing
	_, err := c.conn.Write(appendFrame(nil, frame{final: true, opcode: opcode, payload: payload}, c.client))
	return err
}

// accept is the answer to a handshake's key.
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}
