// Package tunnel opens a peer's connections to a relay: TCP, TLS and the Upgrade handshake of PROTOCOL.md.
package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Limits on what is read of the relay's answer.
const (
	maxHandshake = 16 << 10
	maxErrorText = 1 << 10
)

// KeepAlive notices a dead relay or network within about 3 s on a connection that has nothing unacknowledged.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}

// userTimeout does the same for the control stream while data is unacknowledged, when keepalive sends no probes. Tunnels
// go without, unless in Doubt: the kernel counts a full receiver as dead too, and a slow client may fill one for long.
const userTimeout = 2500 * time.Millisecond

// tunnelKeepAlive outlasts a relay's patience: it misses a control stream after two seconds and closes its tunnels three
// seconds later. So a network that is silent for less than that costs no request, not even one that has no bytes under way.
var tunnelKeepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 7}

// A RefusedError is a relay's answer to a handshake other than 101.
type RefusedError struct {
	Status int
	Text   string
}

// Error repeats the relay's text.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("relay answered %d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
}

// Permanent tells whether trying the same again is pointless: the request itself is what the relay will not have.
func (e *RefusedError) Permanent() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	default:
		return e.Status >= 400 && e.Status < 500
	}
}

// A Dialer opens connections to one relay for one instance. Its connections share TLS sessions, so that all but the first
// are cheap. It is safe for concurrent use.
type Dialer struct {
	// ConnectLimit is how long TCP alone may take. 0: as long as the whole.
	ConnectLimit time.Duration

	relay   wire.Relay
	token   string
	control Control
	tls     *tls.Config // nil: plain TCP
	traffic *Traffic

	connecting atomic.Int32
	heard      atomic.Int32 // a sign
	answered   atomic.Bool
}

// A sign is how the relay's host answered the last attempt to connect.
type sign = int32

const (
	nothing sign = iota
	accepted
	rejected
)

// A Control refuses addresses that are not to be connected to, as net.Dialer's field of that name does.
type Control func(network, address string, c syscall.RawConn) error

// NewDialer returns a Dialer whose connections count their bytes in traffic. control is nil where every address may be
// connected to. The error says what is wrong with relay.CA.
func NewDialer(relay wire.Relay, token string, control Control, traffic *Traffic) (*Dialer, error) {
	d := &Dialer{relay: relay, token: token, control: control, traffic: traffic}
	if !relay.TLS {
		return d, nil
	}
	roots, err := parseRoots(relay.CA)
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", relay.Address, err)
	}
	d.tls = &tls.Config{
		MinVersion:         tls.VersionTLS13,
		RootCAs:            roots,
		ServerName:         relay.Name,
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	return d, nil
}

// parseRoots returns nil, the system's roots, for an empty text.
func parseRoots(text string) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(text)) {
		return nil, errors.New("ca: holds no PEM certificate")
	}
	return roots, nil
}

// Alive tells whether the relay seems to be there. It is if its host accepted the last connection that it answered, whatever
// became of that; or if it rejected it, as a host does whose relay is starting, and a later attempt is under way. An attempt
// without an answer says nothing against the relay: when thousands dial, the host's queue is full.
func (d *Dialer) Alive() bool {
	heard := d.heard.Load()
	return heard == accepted || heard == rejected && d.connecting.Load() > 0
}

// Lost notes how a connection that stood was lost. After a silence nothing is known of the relay any more.
func (d *Dialer) Lost(err error) {
	if isTimeout(err) {
		d.heard.Store(nothing)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Answered tells whether the relay has ever let a connection in.
func (d *Dialer) Answered() bool { return d.answered.Load() }

// Dial opens a connection and upgrades it at path. It blocks until the relay's 101, or ctx ends. The error is or wraps a
// *RefusedError when the relay answered otherwise.
func (d *Dialer) Dial(ctx context.Context, path string) (*Conn, error) {
	conn, err := d.dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", d.relay.Address, err)
	}
	return conn, nil
}

func (d *Dialer) dial(ctx context.Context, path string) (*Conn, error) {
	watch := tunnelKeepAlive
	if path == wire.ControlPath {
		watch = KeepAlive
	}
	d.connecting.Add(1)
	raw, err := (&net.Dialer{Timeout: d.ConnectLimit, KeepAliveConfig: watch, Control: d.control}).DialContext(ctx, "tcp", d.relay.Address)
	d.connecting.Add(-1)
	if ctx.Err() == nil {
		d.hear(err)
	}
	if err != nil {
		return nil, err
	}
	conn, err := d.upgrade(ctx, raw, path)
	if err != nil {
		raw.Close()
		if cause := context.Cause(ctx); cause != nil {
			return nil, fmt.Errorf("handshake: %w", cause)
		}
		return nil, err
	}
	return conn, nil
}

// hear notes how the host answered an attempt to connect.
func (d *Dialer) hear(err error) {
	switch {
	case err == nil:
		d.heard.Store(accepted)
	case errors.Is(err, syscall.ECONNREFUSED):
		d.heard.Store(rejected)
	case isTimeout(err):
		d.heard.CompareAndSwap(rejected, accepted) // a host that rejects no longer has a listener, whose queue is full
	default:
		d.heard.Store(nothing)
	}
}

// upgrade does TLS and the Upgrade handshake on raw. If ctx ends meanwhile, raw's I/O fails.
func (d *Dialer) upgrade(ctx context.Context, raw net.Conn, path string) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if path == wire.ControlPath {
		setUserTimeout(raw, userTimeout)
	}
	conn := raw
	if d.tls != nil {
		secured := tls.Client(raw, d.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		conn = secured
	}
	surplus, err := d.handshake(conn, path)
	if err != nil {
		return nil, err
	}
	d.answered.Store(true)
	if !stop() {
		return nil, ctx.Err() // the deadline is set or about to be
	}
	return &Conn{conn: conn, traffic: d.traffic, surplus: surplus}, nil
}

// handshake sends the Upgrade request and returns the bytes that came after the 101.
func (d *Dialer) handshake(conn net.Conn, path string) (surplus []byte, err error) {
	if _, err := io.WriteString(conn, d.request(path)); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	in := bufio.NewReader(io.LimitReader(conn, maxHandshake))
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, refused(answer)
	}
	if got := answer.Header.Get("Upgrade"); !strings.EqualFold(got, wire.Protocol) {
		return nil, fmt.Errorf("handshake: relay speaks %.80q, this end speaks %q", got, wire.Protocol)
	}
	surplus, _ = in.Peek(in.Buffered())
	return bytes.Clone(surplus), nil
}

func (d *Dialer) request(path string) string {
	return "GET " + path + " HTTP/1.1\r\n" +
		"Host: " + d.relay.Address + "\r\n" +
		"Connection: Upgrade\r\n" +
		"Upgrade: " + wire.Protocol + "\r\n" +
		"Authorization: Bearer " + d.token + "\r\n\r\n"
}

func refused(answer *http.Response) error {
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxErrorText))
	return &RefusedError{Status: answer.StatusCode, Text: strings.TrimSpace(string(text))}
}
