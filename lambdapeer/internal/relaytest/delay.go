package relaytest

import (
	"net"
	"time"
)

// delayed returns the end of a long line whose other end is conn. Closing it closes conn.
func delayed(conn net.Conn, d time.Duration) net.Conn {
	near, far := net.Pipe()
	go forward(far, conn, d, 3*d) // SYN and its answer have passed before the first byte
	go forward(conn, far, d, d)
	return near
}

// forward copies from src to dst until either ends, and closes dst. What it reads at once arrives after first, everything
// else after d, in order.
func forward(dst, src net.Conn, d, first time.Duration) {
	type segment struct {
		data []byte
		due  time.Time
	}
	line := make(chan segment, 1024)
	go func() {
		defer close(line)
		for wait := first; ; wait = d {
			data := make([]byte, 16<<10)
			n, err := src.Read(data)
			if err != nil {
				return
			}
			line <- segment{data[:n], time.Now().Add(wait)}
		}
	}()
	for s := range line {
		time.Sleep(time.Until(s.due))
		if _, err := dst.Write(s.data); err != nil {
			src.Close()
		}
	}
	time.Sleep(d)
	dst.Close()
}
