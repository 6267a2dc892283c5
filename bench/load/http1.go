package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// serialise writes the one request that every connection sends.
func serialise(opts Options, target *url.URL) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", opts.Method, requestURI(opts, target), target.Host)
	_ = opts.Header.Write(&b) // a bytes.Buffer does not fail
	if len(opts.Body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(opts.Body))
	}
	b.WriteString("\r\n")
	b.Write(opts.Body)
	return b.Bytes()
}

// An http1Conn is one connection, on which one request is in flight at a time.
type http1Conn struct {
	plan   *plan
	conn   net.Conn
	reader *bufio.Reader
	tally  *tally
}

func newHTTP1Conn(p *plan, conn net.Conn, t *tally) *http1Conn {
	return &http1Conn{plan: p, conn: conn, reader: bufio.NewReader(conn), tally: t}
}

// run sends requests until the budget is spent or the connection ends. It returns true where only the connection has ended.
func (c *http1Conn) run(b *budget) (again bool) {
	for b.take() {
		began := time.Now()
		answer, err := c.roundTrip(began)
		if err != nil {
			c.tally.failed(class(err))
			return true
		}
		c.tally.answered(answer.status, time.Since(began))
		if answer.last {
			return true
		}
	}
	return false
}

func (c *http1Conn) roundTrip(now time.Time) (answer, error) {
	if err := c.conn.SetDeadline(now.Add(c.plan.opts.Timeout)); err != nil {
		return answer{}, err
	}
	if _, err := c.conn.Write(c.plan.request); err != nil {
		return answer{}, err
	}
	a, err := readHead(c.reader)
	if err != nil {
		return answer{}, err
	}
	n, err := a.discardBody(c.reader, c.plan.opts.Method)
	c.tally.bytes += n
	return a, err
}

// An answer holds what the head of an HTTP/1.1 answer says of its status and of where it ends.
type answer struct {
	status  int
	length  int64 // -1: not stated
	chunked bool
	last    bool // the server closes the connection after it
}

// readHead reads the head of the final answer. It skips informational ones.
func readHead(r *bufio.Reader) (answer, error) {
	for {
		a, err := readAnyHead(r)
		if err != nil || a.status >= 200 || a.status == http.StatusSwitchingProtocols {
			return a, err
		}
	}
}

func readAnyHead(r *bufio.Reader) (answer, error) {
	line, err := readLine(r)
	if err != nil {
		return answer{}, err
	}
	a := answer{length: -1}
	if a.status, err = parseStatus(line); err != nil {
		return answer{}, err
	}
	a.last = bytes.HasPrefix(line, []byte("HTTP/1.0"))
	for {
		line, err := readLine(r)
		if err != nil || len(line) == 0 {
			return a, err
		}
		if err := a.header(line); err != nil {
			return a, err
		}
	}
}

// readLine returns a line without its line break. The bytes are valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, &protocolError{"header line too long"}
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func parseStatus(line []byte) (int, error) {
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, &protocolError{"not an HTTP/1 status line"}
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, &protocolError{"not an HTTP/1 status line"}
	}
	return status, nil
}

// header notes a header if it is one of the three that decide where an answer ends.
func (a *answer) header(line []byte) error {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found {
		return &protocolError{"header without a colon"}
	}
	value = bytes.TrimSpace(value)
	switch {
	case equalFold(name, "content-length"):
		length, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || length < 0 {
			return &protocolError{"bad content-length"}
		}
		a.length = length
	case equalFold(name, "transfer-encoding"):
		a.chunked = equalFold(value, "chunked")
	case equalFold(name, "connection"):
		a.last = a.last || equalFold(value, "close")
	}
	return nil
}

func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}

// discardBody reads to the end of the answer and returns the size of its body.
func (a *answer) discardBody(r *bufio.Reader, method string) (int64, error) {
	switch {
	case method == http.MethodHead, a.status == http.StatusNoContent, a.status == http.StatusNotModified:
		return 0, nil
	case a.chunked:
		return discardChunked(r)
	case a.length >= 0:
		return discard(r, a.length)
	default:
		a.last = true // the body ends where the connection does
		return io.Copy(io.Discard, r)
	}
}

// discard skips n bytes of a body.
func discard(r *bufio.Reader, n int64) (int64, error) {
	if n <= int64(r.Size()) {
		skipped, err := r.Discard(int(n))
		return int64(skipped), err
	}
	return io.CopyN(io.Discard, r, n)
}

func discardChunked(r *bufio.Reader) (int64, error) {
	n, err := io.Copy(io.Discard, httputil.NewChunkedReader(r))
	if err != nil {
		return n, err
	}
	for { // trailers, up to the empty line
		line, err := readLine(r)
		if err != nil || len(line) == 0 {
			return n, err
		}
	}
}
