package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/door"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Limits of a handshake, in bytes.
const (
	maxHead    = 16 << 10 // request line and headers; a token has at most 4 KiB of it
	headBuffer = 4 << 10
)

// greet handles one connection from its first byte on: it becomes a tunnel or a control stream, or it is a registration, or it is
// refused. When greet returns the connection is closed or handed over.
func (r *Relay) greet(ctx context.Context, tcp *net.TCPConn, visit *door.Visit, serial uint64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Now()) })
	defer stop()
	// The handshake timeout does not count the time that a stranger waits for its turn.
	limit := time.AfterFunc(turnWait, cancel)
	defer limit.Stop()
	if err := visit.Begin(ctx); err != nil {
		r.counters.drop(gaveWayOr(visit, DropHandshakeTimeout))
		_ = tcp.Close()
		return
	}
	limit.Reset(r.config.HandshakeTimeout)
	conn, err := newPeerConn(tcp, r.identity.config, visit, serial, &r.counters)
	if err != nil {
		_ = tcp.Close()
		return
	}
	if err := conn.startTLS(); err != nil {
		r.counters.drop(gaveWayOr(visit, timeoutOr(ctx, DropTLSHandshake)))
		r.log.WithError(err).WithField("remote", tcp.RemoteAddr().String()).Debug("TLS handshake failed")
		_ = conn.Close()
		return
	}
	if err := r.answer(ctx, conn); err != nil {
		r.refuse(conn, err)
	}
}

// answer reads one request and does what it asks for. After an error the caller still owns the connection.
func (r *Relay) answer(ctx context.Context, conn *peerConn) error {
	in := heads.Get().(*bufio.Reader)
	defer heads.Put(in)
	defer in.Reset(nil)
	limited := &io.LimitedReader{R: conn.handshake(), N: maxHead}
	in.Reset(limited)
	req, err := http.ReadRequest(in)
	if err != nil {
		return headRefusal(ctx, err, limited.N)
	}
	switch req.URL.Path {
	case wire.RegisterPath:
		limited.N += wire.MaxInvocation
		return r.register(ctx, conn, req)
	case wire.TunnelPath, wire.ControlPath:
		if err := checkUpgrade(req); err != nil {
			return err
		}
		if in.Buffered() > 0 {
			return refuse(DropEarlyBytes, "bytes came before the 101")
		}
		return r.upgrade(conn, req)
	default:
		return refuse(DropUnknownPath, "there is nothing at this path")
	}
}

// heads are buffers for handshakes. No connection keeps one.
var heads = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headBuffer) }}

// headRefusal is the refusal for a request that could not be read. It looks at limit and context first, because the parser calls a
// line malformed that was cut off by them.
func headRefusal(ctx context.Context, err error, left int64) error {
	switch {
	case left <= 0:
		return refuse(DropRequestTooLarge, fmt.Sprintf("the request's head has more than %d bytes", maxHead))
	case ctx.Err() != nil:
		return refuse(DropHandshakeTimeout, "the request did not come in time")
	default:
		return refuse(DropMalformedRequest, fmt.Sprintf("malformed request: %v", err))
	}
}

func timeoutOr(ctx context.Context, other Drop) Drop {
	if ctx.Err() != nil {
		return DropHandshakeTimeout
	}
	return other
}

func checkUpgrade(req *http.Request) error {
	if req.Method != http.MethodGet {
		return &refusal{drop: DropWrongMethod, text: "only GET is possible here", header: "Allow: GET\r\n"}
	}
	if got := req.Header.Get("Upgrade"); got != wire.Protocol || !hasToken(req.Header.Get("Connection"), "upgrade") {
		return &refusal{
			drop:   DropUpgradeRequired,
			text:   fmt.Sprintf("this relay speaks %s; the request asks for an upgrade to %.40q", wire.Protocol, got),
			header: "Upgrade: " + wire.Protocol + "\r\n",
		}
	}
	return nil
}

// hasToken tells whether a comma-separated header has a word.
func hasToken(header, word string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if strings.EqualFold(strings.TrimSpace(part), word) {
			return true
		}
	}
	return false
}

// upgrade gives the connection to the instance that the request's token names.
func (r *Relay) upgrade(conn *peerConn, req *http.Request) error {
	inst, err := r.authorize(req)
	if err != nil {
		return err
	}
	if r.counters.connections.Load() >= int64(r.config.MaxConnections) {
		return refuse(DropTooManyConnections, "the relay has as many connections as it may")
	}
	if req.URL.Path == wire.ControlPath {
		return r.startControl(conn, inst)
	}
	return r.startTunnel(conn, inst)
}

func (r *Relay) authorize(req *http.Request) (*instance, error) {
	bearer, err := bearerToken(req)
	if err != nil {
		return nil, err
	}
	claims, err := r.config.Key.Verify(bearer, time.Now())
	if err != nil {
		return nil, refuse(tokenDrop(err), err.Error())
	}
	inst := r.find(claims.Instance)
	if inst == nil && r.config.Settled != nil && !r.config.Settled() {
		return nil, refuse(DropUnsettled, "this relay has just started and does not know yet which instances to expect: dial again")
	}
	if inst == nil {
		return nil, refuse(DropUnknownInstance, unknownInstance)
	}
	if inst.Function != claims.Function {
		return nil, refuse(DropWrongFunction, "the token is of another function")
	}
	return inst, nil
}

func bearerToken(req *http.Request) (string, error) {
	scheme, bearer, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return "", refuse(DropTokenMissing, "Authorization: Bearer <token> is required")
	}
	return bearer, nil
}

func tokenDrop(err error) Drop {
	switch {
	case errors.Is(err, token.ErrExpired):
		return DropTokenExpired
	case errors.Is(err, token.ErrSignature):
		return DropTokenForged
	default:
		return DropTokenMalformed
	}
}

func (r *Relay) startTunnel(conn *peerConn, inst *instance) error {
	if err := inst.reserveTunnel(); err != nil {
		return err
	}
	if err := letIn(conn, watchTunnel); err != nil {
		inst.unreserveTunnel()
		_ = conn.Close()
		return nil
	}
	inst.standTunnel(conn)
	return nil
}

// startControl hands over to a new goroutine, because a handshake has grown the stack of this one.
func (r *Relay) startControl(conn *peerConn, inst *instance) error {
	stream := &controlStream{inst: inst, conn: conn}
	if err := inst.greetControl(stream); err != nil {
		return err
	}
	if err := letIn(conn, watchControl); err != nil {
		inst.ungreetControl(stream)
		_ = conn.Close()
		return nil
	}
	r.tasks.Go(stream.run)
	return nil
}

// letIn admits the stranger, and switches protocols.
func letIn(conn *peerConn, watch func(*net.TCPConn) error) error {
	if err := conn.admit(); err != nil {
		conn.counters.drop(DropGaveWay)
		return err
	}
	return switchProtocols(conn, watch)
}
