package slots

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// watchEvery is how often an upgraded connection is checked that nobody may be reading.
const watchEvery = time.Second

// An upgraded connection holds its slot until it is closed. It closes itself when nobody is left at its other end: at once if
// reading or writing fails, within a second if neither is done, and some time after an orderly end of what comes in.
type upgraded struct {
	net.Conn
	half    time.Duration // from the end of what comes in to the close; 0: no limit
	release func()        // called once

	closing sync.Once
	ending  sync.Once

	mu     sync.Mutex
	closed bool
	timers []*time.Timer
}

func upgrade(conn net.Conn, half time.Duration, release func()) *upgraded {
	c := &upgraded{Conn: conn, half: half, release: release}
	if lost, ok := conn.(interface{ Lost() bool }); ok {
		c.after(watchEvery, func(t *time.Timer) {
			if lost.Lost() {
				_ = c.Close()
				return
			}
			t.Reset(watchEvery)
		})
	}
	return c
}

// Read implements net.Conn.
func (c *upgraded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		c.ending.Do(c.bound)
	case broken(err):
		_ = c.Close()
	}
	return n, err
}

// Write implements net.Conn.
func (c *upgraded) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if broken(err) {
		_ = c.Close()
	}
	return n, err
}

// broken tells whether an error ends the connection; a deadline that the handler has set does not.
func broken(err error) bool {
	var failed net.Error
	return err != nil && !(errors.As(err, &failed) && failed.Timeout())
}

// bound closes a half-closed connection after a while.
func (c *upgraded) bound() {
	if c.half > 0 {
		c.after(c.half, func(*time.Timer) { _ = c.Close() })
	}
}

// after calls f once d has passed, unless the connection is closed by then. f may set the timer again.
func (c *upgraded) after(d time.Duration, f func(*time.Timer)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		c.mu.Lock()
		closed, timer := c.closed, timer
		c.mu.Unlock()
		if !closed {
			f(timer)
		}
	})
	c.timers = append(c.timers, timer)
}

// Close implements net.Conn.
func (c *upgraded) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() {
		c.mu.Lock()
		c.closed = true
		for _, t := range c.timers {
			t.Stop()
		}
		c.mu.Unlock()
		c.release()
	})
	return err
}

// CloseWrite passes a half close on, which proxies of upgraded connections use.
func (c *upgraded) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}

// through returns buffers like those of net/http that read and write c, and not what is below it. What has been read already
// stays buffered.
func through(c net.Conn, buffered *bufio.ReadWriter) *bufio.ReadWriter {
	n := buffered.Reader.Buffered()
	begun, _ := buffered.Peek(n) // is there
	in := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(begun)), c), buffered.Reader.Size())
	_, _ = in.Peek(n)
	return bufio.NewReadWriter(in, bufio.NewWriterSize(c, buffered.Writer.Size()))
}
