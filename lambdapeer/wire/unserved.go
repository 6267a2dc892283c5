package wire

import (
	"io"
	"net"
	"time"
)

// unserved is all that an HTTP/2 server says on a connection on which it serves nothing: its settings, all by default, and a GOAWAY
// whose last stream is 0. So the client knows that it may send all its requests again elsewhere (RFC 9113, 6.8).
const unserved = "\x00\x00\x00" + "\x04\x00" + "\x00\x00\x00\x00" + // SETTINGS
	"\x00\x00\x08" + "\x07\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" // GOAWAY: last stream, no error

// preface begins what an HTTP/2 client sends, as soon as it has connected.
const preface = "PRI *"

// prefaceLimit is how long it may take to come.
const prefaceLimit = time.Second

// EndUnserved closes a connection of Envoy's that nobody has read from. On HTTP/2 it first says that nothing was served, so that
// Envoy sends the requests to another instance instead of failing them. It blocks until Envoy has closed the connection, for at
// most limit.
func EndUnserved(conn net.Conn, limit time.Duration) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(min(limit, prefaceLimit)))
	begin := make([]byte, len(preface))
	if _, err := io.ReadFull(conn, begin); err != nil || string(begin) != preface {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(conn, unserved); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn) // a client that is slow might else write, fail, and never read what it was told
}
