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

// records is the connection below a tls.Conn. It hands out at most one TLS record at a time, so that after each Read the
// tls.Conn above has nothing left inside, and whether there is more to decrypt can be seen from here. That lets the
// reader wait for bytes on the socket, without a buffer, instead of within tls.Conn.Read, which wants one.
type records struct {
	*net.TCPConn
	in    *lazyReader
	stash *buffer // what arrived and was not handed out yet; nil when there is nothing
	off   int     // in stash
	head  [recordHeader]byte
	have  int // bytes of the current record's header that were handed out
	body  int // bytes of the current record that are still to be handed out after its header
	ended bool
	visit *door.Visit // nil once the peer is let in
}

// await blocks until something can be handed out. It holds no buffer meanwhile.
func (r *records) await() error {
	if r.stash != nil {
		return nil
	}
	b, err := r.receive()
	r.stash, r.off = b, 0
	r.ended = r.ended || errors.Is(err, io.EOF)
	return err
}

// receive reads, a stranger's bytes in its turn.
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

// part is how many bytes may be handed out before the next decision: the rest of the header or of the body.
func (r *records) part() int {
	if r.body > 0 {
		return r.body
	}
	return recordHeader - r.have
}

// follow keeps track of the records' borders as p is handed out.
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

// whole tells whether a Read of the tls.Conn above would find a complete record here, and so not wait.
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
	err  error // found behind bytes that were returned first
}

// read returns as many records as have come, up to a buffer's worth: a sender of small records costs one write, not many.
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

// ending tells an orderly end, close_notify, from a connection that was cut: only the first is io.EOF.
func (s *tlsSource) ending(err error) error {
	if errors.Is(err, io.EOF) && s.in.ended {
		return io.ErrUnexpectedEOF
	}
	return err
}
