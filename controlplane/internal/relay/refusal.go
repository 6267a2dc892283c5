package relay

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"
)

// How long a refused peer may take to read why, and how many of its bytes are read and discarded meanwhile.
const (
	refusalWait  = 500 * time.Millisecond
	refusalDrain = 64 << 10
)

const unknownInstance = "no such instance is expected here: it has ended, or never was"

// A refusal is an error that the peer is told about.
type refusal struct {
	drop   Drop
	text   string
	header string // an extra header line, or empty
	code   int    // HTTP status; 0: that of the drop
}

func refuse(drop Drop, text string) error { return &refusal{drop: drop, text: text} }

func (r *refusal) Error() string { return r.text }

// status is the one table from drops to HTTP.
func (r *refusal) status() int {
	if r.code != 0 {
		return r.code
	}
	switch r.drop {
	case DropMalformedRequest, DropEarlyBytes:
		return http.StatusBadRequest
	case DropTokenMissing, DropTokenMalformed, DropTokenForged, DropTokenExpired, DropUnknownInstance, DropWrongFunction:
		return http.StatusUnauthorized
	case DropUnknownPath:
		return http.StatusNotFound
	case DropWrongMethod:
		return http.StatusMethodNotAllowed
	case DropHandshakeTimeout:
		return http.StatusRequestTimeout
	case DropTunnelsTooOften, DropControlTooOften:
		return http.StatusTooManyRequests
	case DropControlExists:
		return http.StatusConflict
	case DropRequestTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case DropUpgradeRequired:
		return http.StatusUpgradeRequired
	default:
		return http.StatusServiceUnavailable
	}
}

// refuse counts the drop, tells the peer why, and closes. It reads for a moment what the peer still sends, because closing with
// unread bytes makes the kernel discard the answer.
func (r *Relay) refuse(conn *peerConn, err error) {
	defer func() { _ = conn.Close() }()
	var why *refusal
	if !errors.As(err, &why) {
		return
	}
	r.counters.drop(gaveWayOr(conn.visit, why.drop))
	r.log.WithFields(logrus.Fields{
		"drop": why.drop.String(), "remote": conn.tcp.RemoteAddr().String(),
	}).Debug("connection refused")
	if conn.tcp.SetDeadline(time.Now().Add(refusalWait)) != nil {
		return
	}
	if writeAnswer(conn, why.status(), "text/plain", why.header, why.text+"\n") == nil && conn.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn.handshake(), refusalDrain))
	}
}

// writeAnswer sends an HTTP/1.1 answer that ends the connection. extra holds whole header lines.
func writeAnswer(w io.Writer, status int, contentType, extra, body string) error {
	_, err := fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s",
		status, http.StatusText(status), contentType, len(body), extra, body)
	return err
}
