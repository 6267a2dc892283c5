package load

import (
	"bufio"
	"bytes"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	maxWindow    = 1<<31 - 1
	windowRefill = 1 << 20 // answer bytes between two updates of the connection's window
	headerTable  = 4096    // HPACK's default: what the server may use until it learns otherwise
)

// headerBlock encodes the request's headers. It sets the size of the dynamic table to zero first, so the same bytes fit every
// request.
func headerBlock(opts Options, target *url.URL) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	enc.SetMaxDynamicTableSize(0)
	field := func(name, value string) {
		_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value}) // a bytes.Buffer does not fail
	}
	field(":method", opts.Method)
	field(":scheme", target.Scheme)
	field(":authority", target.Host)
	field(":path", requestURI(opts, target))
	for name, values := range opts.Header {
		for _, value := range values {
			field(strings.ToLower(name), value)
		}
	}
	return b.Bytes()
}

// An http2Conn keeps a fixed number of streams open on one connection. One goroutine owns it.
type http2Conn struct {
	plan    *plan
	conn    net.Conn
	reader  *bufio.Reader
	writer  *bufio.Writer
	framer  *http2.Framer
	decoder *hpack.Decoder
	tally   *tally

	open     map[uint32]*stream
	spare    []*stream
	next     uint32 // id of the next stream
	status   int    // of the header block that is being decoded, 0 in trailers
	block    uint32 // the stream of that header block
	endsWith bool   // that header block ends its stream
	unacked  uint32 // bytes to give back to the connection's window
	goingOff bool   // the server sent GOAWAY: open nothing more here
}

type stream struct {
	began  time.Time
	status int
}

func newHTTP2Conn(p *plan, conn net.Conn, t *tally) *http2Conn {
	c := &http2Conn{
		plan: p, conn: conn, tally: t,
		reader: bufio.NewReader(conn), writer: bufio.NewWriter(conn),
		open: make(map[uint32]*stream, p.opts.Streams), next: 1,
	}
	c.framer = http2.NewFramer(c.writer, c.reader)
	c.framer.SetReuseFrames()
	c.decoder = hpack.NewDecoder(headerTable, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			c.status, _ = strconv.Atoi(f.Value) // 0 is refused in endHeaders
		}
	})
	return c
}

// run sends requests until the budget is spent or the connection ends. It returns true where only the connection has ended.
func (c *http2Conn) run(b *budget) (again bool) {
	err := c.loop(b)
	for range c.open {
		c.tally.failed(class(err))
	}
	return err != nil || c.goingOff
}

// loop handles frames until every stream has ended and none may begin: the budget is spent, or the server sent GOAWAY.
func (c *http2Conn) loop(b *budget) error {
	if err := c.greet(); err != nil {
		return err
	}
	for range c.plan.opts.Streams {
		if err := c.send(b); err != nil {
			return err
		}
	}
	for len(c.open) > 0 {
		if err := c.step(b); err != nil {
			return err
		}
	}
	return nil
}

// greet opens the connection, with windows as wide as possible: flow control is not to be measured.
func (c *http2Conn) greet() error {
	if _, err := c.writer.WriteString(http2.ClientPreface); err != nil {
		return err
	}
	err := c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow},
	)
	if err != nil {
		return err
	}
	return c.framer.WriteWindowUpdate(0, maxWindow-65535)
}

// send sends a request on a new stream, if the budget allows one.
func (c *http2Conn) send(b *budget) error {
	if c.goingOff || !b.take() {
		return nil
	}
	s := c.newStream()
	s.began = time.Now()
	id := c.next
	c.next += 2
	c.open[id] = s
	return c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.plan.request, EndStream: true, EndHeaders: true,
	})
}

func (c *http2Conn) newStream() *stream {
	if len(c.spare) == 0 {
		return &stream{}
	}
	last := len(c.spare) - 1
	s := c.spare[last]
	c.spare = c.spare[:last]
	*s = stream{}
	return s
}

// step handles one frame. It flushes what was written only when nothing is left to read, so that many answers that come together
// cost one system call.
func (c *http2Conn) step(b *budget) error {
	if c.reader.Buffered() == 0 {
		if err := c.conn.SetDeadline(time.Now().Add(c.plan.opts.Timeout)); err != nil {
			return err
		}
		if err := c.writer.Flush(); err != nil {
			return err
		}
	}
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	return c.handle(frame, b)
}

func (c *http2Conn) handle(frame http2.Frame, b *budget) error {
	switch f := frame.(type) {
	case *http2.HeadersFrame:
		c.block, c.endsWith, c.status = f.StreamID, f.StreamEnded(), 0
		return c.headers(f.HeaderBlockFragment(), f.HeadersEnded(), b)
	case *http2.ContinuationFrame:
		return c.headers(f.HeaderBlockFragment(), f.HeadersEnded(), b)
	case *http2.DataFrame:
		return c.data(f, b)
	case *http2.RSTStreamFrame:
		return c.reset(f, b)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.framer.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		return c.goAway(f, b)
	}
	return nil
}

func (c *http2Conn) headers(fragment []byte, ended bool, b *budget) error {
	if _, err := c.decoder.Write(fragment); err != nil {
		return &protocolError{"bad header block"}
	}
	if !ended {
		return nil
	}
	if err := c.decoder.Close(); err != nil {
		return &protocolError{"bad header block"}
	}
	s := c.open[c.block]
	if s == nil {
		return nil
	}
	if c.status >= 200 { // neither informational nor trailers
		s.status = c.status
	}
	if c.endsWith {
		return c.end(c.block, s, b)
	}
	return nil
}

func (c *http2Conn) data(f *http2.DataFrame, b *budget) error {
	c.tally.bytes += int64(len(f.Data()))
	c.unacked += f.Length
	if c.unacked >= windowRefill {
		if err := c.framer.WriteWindowUpdate(0, c.unacked); err != nil {
			return err
		}
		c.unacked = 0
	}
	if s := c.open[f.StreamID]; s != nil && f.StreamEnded() {
		return c.end(f.StreamID, s, b)
	}
	return nil
}

// end records a complete answer and sends the next request in its place.
func (c *http2Conn) end(id uint32, s *stream, b *budget) error {
	if s.status == 0 {
		return &protocolError{"answer without a status"}
	}
	c.tally.answered(s.status, time.Since(s.began))
	c.forget(id, s)
	return c.send(b)
}

func (c *http2Conn) reset(f *http2.RSTStreamFrame, b *budget) error {
	s := c.open[f.StreamID]
	if s == nil {
		return nil
	}
	c.tally.failed("stream reset: " + f.ErrCode.String())
	c.forget(f.StreamID, s)
	return c.send(b)
}

func (c *http2Conn) forget(id uint32, s *stream) {
	delete(c.open, id)
	c.spare = append(c.spare, s)
}

func (c *http2Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if limit, ok := f.Value(http2.SettingMaxConcurrentStreams); ok && int(limit) < c.plan.opts.Streams {
		return &protocolError{"server allows fewer streams per connection"}
	}
	return c.framer.WriteSettingsAck()
}

// goAway gives up the streams that the server has not seen, and lets the others end. If the server ends the connection in order,
// HTTP/2 allows these requests to be sent again: they go back to the budget.
func (c *http2Conn) goAway(f *http2.GoAwayFrame, b *budget) error {
	c.goingOff = true
	for id, s := range c.open {
		if id <= f.LastStreamID {
			continue
		}
		if f.ErrCode == http2.ErrCodeNo {
			b.giveBack()
		} else {
			c.tally.failed("goaway: " + f.ErrCode.String())
		}
		c.forget(id, s)
	}
	return nil
}
