package relay

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/door"
)

// Sizes of TLS records (RFC 8446, section 5.1).
const (
	recordHeader = 5
	maxPlaintext = 16 << 10
)

// records is the connection below a tls.Conn. It passes at most one TLS record at a time to the tls.Conn, so that nothing is left
// inside that after a Read, and records can tell whether there is more to decrypt. So a reader waits for bytes on the socket
// without a buffer, instead of within tls.Conn.Read, which needs one.
type records struct {
	*net.TCPConn
	in    *lazyReader
	stash *buffer // bytes that have arrived and were not passed on yet; nil if there are none
	off   int     // of the first of them in stash
	head  [recordHeader]byte
	have  int // bytes of the current record's header that were passed on
	body  int // bytes of the current record's body that were not passed on yet
	ended bool
	visit *door.Visit // nil once the peer is let in
}

// await blocks until there are bytes to pass on. It holds no buffer meanwhile.
func (r *records) await() error {
	if r.stash != nil {
		return nil
	}
	b, err := r.receive()
	r.stash, r.off = b, 0
	r.ended = r.ended || errors.Is(err, io.EOF)
	return err
}

// receive reads from the socket; for a stranger only in its turn.
func (r *records) receive() (*buffer, error) {
	if r.visit != nil {
		if err := awaitTurn(r.TCPConn, r.visit); err != nil {
			return nil, err
		}
	}
	return r.in.read()
}

// Read implements io.Reader for the tls.Conn above.
func (r *records) Read(p []byte) (int, error) {
	if err := r.await(); err != nil {
		return 0, err
	}
	rest := r.stash.bytes()[r.off:]
	n := copy(p, rest[:min(len(rest), r.part())])
	r.follow(rest[:n])
	if r.off += n; r.off == r.stash.n {
		r.stash.release()
		r.stash = nil
	}
	return n, nil
}

// part is how many bytes may be passed on at once: the rest of the header or of the body.
func (r *records) part() int {
	if r.body > 0 {
		return r.body
	}
	return recordHeader - r.have
}

// follow keeps track of where records begin and end as p is passed on.
func (r *records) follow(p []byte) {
	if r.body > 0 {
		r.body -= len(p)
		return
	}
	r.have += copy(r.head[r.have:], p)
	if r.have == recordHeader {
		r.have, r.body = 0, recordLength(r.head[:])
	}
}

// whole tells whether there is a complete record, so that a Read of the tls.Conn above would not wait.
func (r *records) whole() bool {
	if r.stash == nil || r.have > 0 || r.body > 0 {
		return false
	}
	rest := r.stash.bytes()[r.off:]
	return len(rest) >= recordHeader && len(rest) >= recordHeader+recordLength(rest)
}

func recordLength(header []byte) int { return int(binary.BigEndian.Uint16(header[3:recordHeader])) }

// A tlsSource is the source of a connection with TLS.
type tlsSource struct {
	conn *tls.Conn
	in   *records
	err  error // to return after the bytes that came before it
}

// read returns as many records as have come, up to a buffer's size, so that many small records cost one write.
func (s *tlsSource) read() (*buffer, error) {
	if s.err != nil {
		return nil, s.err
	}
	if err := s.in.await(); err != nil {
		s.err = s.ending(err)
		return nil, s.err
	}
	b := takeBuffer()
	for s.err == nil {
		n, err := s.conn.Read(b.data[b.n:])
		b.n += n
		if err != nil {
			s.err = s.ending(err)
		} else if !s.in.whole() || bufferSize-b.n < maxPlaintext {
			return b, nil
		}
	}
	if b.n > 0 {
		return b, nil
	}
	b.release()
	return nil, s.err
}

// ending makes the end of a connection without close_notify io.ErrUnexpectedEOF. Only an orderly end is io.EOF.
func (s *tlsSource) ending(err error) error {
	if errors.Is(err, io.EOF) && s.in.ended {
		return io.ErrUnexpectedEOF
	}
	return err
}
