package slots

import (
	"bufio"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A fakeConn answers reads and writes with an error, and knows whether it was reset.
type fakeConn struct {
	net.Conn
	err    error
	lost   atomic.Bool
	closed atomic.Bool
}

func (c *fakeConn) Read([]byte) (int, error)  { return 0, c.err }
func (c *fakeConn) Write([]byte) (int, error) { return 0, c.err }
func (c *fakeConn) Lost() bool                { return c.lost.Load() }
func (c *fakeConn) Close() error              { c.closed.Store(true); return nil }

// How an upgraded connection ends by itself, and how it does not. Nothing is released twice.
func TestUpgradedConnectionsEndWithTheirClient(t *testing.T) {
	const half = 10 * time.Second
	read := func(c *upgraded) { _, _ = c.Read(nil) }
	for name, c := range map[string]struct {
		err  error
		act  func(*upgraded)
		half time.Duration
		ends time.Duration // 0: at once; -1: never
	}{
		"reading fails":                    {syscall.ECONNRESET, read, half, 0},
		"writing fails":                    {syscall.EPIPE, func(c *upgraded) { _, _ = c.Write(nil) }, half, 0},
		"cut off without TLS's goodbye":    {io.ErrUnexpectedEOF, read, half, 0},
		"the client stops sending":         {io.EOF, read, half, half},
		"stops sending, and it is read on": {io.EOF, func(c *upgraded) { read(c); time.Sleep(time.Second); read(c) }, half, half},
		"stops sending, without a limit":   {io.EOF, read, 0, -1},
		"a deadline of the handler's":      {os.ErrDeadlineExceeded, read, half, -1},
		"reset while nobody looks": {nil, func(c *upgraded) {
			time.Sleep(90 * time.Second)
			synctest.Wait()
			c.Conn.(*fakeConn).lost.Store(true)
		}, half, 91 * time.Second},
		"closed": {nil, func(c *upgraded) { _ = c.Close() }, half, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, released := time.Now(), 0
				var after time.Duration
				conn := &fakeConn{err: c.err}
				u := upgrade(conn, c.half, func() { after = time.Since(began); released++ })
				c.act(u)
				time.Sleep(time.Hour)
				synctest.Wait()
				if c.ends < 0 {
					require.Zero(t, released)
					require.False(t, conn.closed.Load())
					_ = u.Close()
				} else {
					require.LessOrEqual(t, after-c.ends, watchEvery)
					require.GreaterOrEqual(t, after, c.ends)
				}
				require.True(t, conn.closed.Load())
				_ = u.Close()
				require.Equal(t, 1, released)
			})
		})
	}
}

// Handlers read through the buffers of Hijack or beside them; what was read already must come first, and counts as buffered.
func TestHijackedBuffersReadTheConnection(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go func() { _, _ = io.WriteString(far, "begun") }()
	below := bufio.NewReadWriter(bufio.NewReaderSize(near, 64), bufio.NewWriterSize(near, 64))
	_, err := below.Peek(5)
	require.NoError(t, err)

	ended := make(chan struct{})
	c := upgrade(near, 0, func() { close(ended) })
	rw := through(c, below)
	require.Equal(t, 5, rw.Reader.Buffered())
	go func() { _, _ = io.WriteString(far, ", rest"); _ = far.Close() }()
	whole, err := io.ReadAll(rw)
	require.NoError(t, err)
	require.Equal(t, "begun, rest", string(whole))

	_, err = rw.WriteString("nobody reads")
	require.NoError(t, err)
	require.Error(t, rw.Flush())
	<-ended
}
