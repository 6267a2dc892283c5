package wire

import (
	"fmt"
	"io"
	"net"
	"time"
)

// unserved is all that an HTTP/2 server says on a connection on which it serves nothing: its settings, all by default, and a GOAWAY
// whose last stream is 0. So the client knows that it may send all its requests again elsewhere (RFC 9113, 6.8).
const unserved = "\x00\x00\x00" + "\x04\x00" + "\x00\x00\x00\x00" + // SETTINGS
	"\x00\x00\x08" + "\x07\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" // GOAWAY: last stream, no error

// refused is what an HTTP/1.1 server says instead: by its first header Envoy sends the request elsewhere. A client gets it where nobody
// else can be reached.
var refused = fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\n%s: 1\r\n%s: instance_unreachable\r\nRetry-After: 1\r\n"+
	"Content-Type: application/problem+json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
	RefusedHeader, CauseHeader, len(unreachable), unreachable)

const unreachable = `{"type":"about:blank","title":"The instance could not be reached","status":503,"cause":"instance_unreachable"}` + "\n"

// preface begins what an HTTP/2 client sends, as soon as it has connected.
const preface = "PRI *"

// prefaceLimit is how long it may take to come.
const prefaceLimit = time.Second

// EndUnserved closes a connection of Envoy's that nobody has read from. It first says that nothing was served, so that
// Envoy sends the requests to another instance instead of failing them. It blocks until Envoy has closed the connection, for at
// most limit.
func EndUnserved(conn net.Conn, limit time.Duration) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(min(limit, prefaceLimit)))
	begin := make([]byte, len(preface))
	if _, err := io.ReadFull(conn, begin); err != nil {
		return
	}
	answer := refused
	if string(begin) == preface {
		answer = unserved
	}
	_ = conn.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(conn, answer); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn) // a client that is slow might else write, fail, and never read what it was told
}
