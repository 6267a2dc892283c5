package relay

import (
	"io"
	"os"
	"sync"
	"syscall"
)

// bufferSize has room for two full TLS records. Of 16, 32 and 64 KiB it moved bulk data with the least CPU.
const bufferSize = 32 << 10

// A buffer holds bytes between a read and the write that follows at once. It is not held while a connection is idle: thousands are at any
// moment, and a buffer for each would take most of the relay's memory. Only a peer that sends half a TLS record makes one wait for the rest.
type buffer struct {
	n    int
	data [bufferSize]byte
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func takeBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) bytes() []byte { return b.data[:b.n] }

// release gives the buffer back. The caller must not use it any more.
func (b *buffer) release() {
	b.n = 0
	buffers.Put(b)
}

// A source is read without a buffer of the reader.
type source interface {
	// read blocks until bytes have come, and returns them in a buffer, which the caller must release. Or it returns an error
	// and no buffer; io.EOF means an orderly end. One goroutine reads at a time.
	read() (*buffer, error)
}

// A lazyReader reads from a socket, and takes a buffer only when there are bytes. It makes the same system calls as a plain Read:
// the runtime's poller waits, and each attempt to read uses a pooled buffer that goes back at once if there was nothing.
type lazyReader struct {
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // made once: a closure per read would be garbage per message
	got     *buffer
	err     error
}

func newLazyReader(c syscall.Conn) (*lazyReader, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &lazyReader{raw: raw}
	r.attempt = r.tryRead
	return r, nil
}

func (r *lazyReader) read() (*buffer, error) {
	if err := r.raw.Read(r.attempt); err != nil {
		return nil, err
	}
	b, err := r.got, r.err
	r.got = nil
	return b, err
}

// tryRead reports false if there was nothing to read yet. It is called again when there may be.
func (r *lazyReader) tryRead(fd uintptr) bool {
	b := takeBuffer()
	n, err := readFD(int(fd), b.data[:])
	if n > 0 {
		b.n, r.got = n, b
		return true
	}
	b.release()
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		r.err = os.NewSyscallError("read", err)
	default:
		r.err = io.EOF
	}
	return true
}

func readFD(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
