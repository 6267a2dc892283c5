package lambdapeer_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/golden"
)

// An oldRelay is a relay of an earlier build, byte for byte.
type oldRelay struct {
	t     *testing.T
	build string
	net.Listener
}

// A dialled is one of the peer's connections, after its request and the relay's answer.
type dialled struct {
	net.Conn
	in *bufio.Reader
}

func newOldRelay(t *testing.T, build string) oldRelay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return oldRelay{t, build, listener}
}

func (o oldRelay) read(name string) golden.Side {
	return golden.Read(o.build, name, "instance-token", o.Addr().String())
}

// next takes the peer's next connection, whose request must be that of an earlier peer to the byte, and answers it.
func (o oldRelay) next(name string) dialled {
	o.t.Helper()
	conn, err := o.Accept()
	require.NoError(o.t, err)
	o.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(o.t, conn.SetDeadline(time.Now().Add(patience)))
	c := dialled{conn, bufio.NewReader(conn)}
	require.Equal(o.t, string(o.read(name+".peer").Head), c.head(o.t))
	_, err = conn.Write(o.read(name + ".relay").Head)
	require.NoError(o.t, err)
	return c
}

func (c dialled) head(t *testing.T) string {
	t.Helper()
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := c.in.ReadString('\n')
		require.NoError(t, err, "after %q", head.String())
		head.WriteString(line)
	}
	return head.String()
}

// hears holds the peer's next message next to that of an earlier one.
func (c dialled) hears(t *testing.T, line []byte) {
	t.Helper()
	said, err := c.in.ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, golden.Includes(said, line), "%s", said)
	var known wire.Message
	known, err = wire.DecodeMessage(line)
	require.NoError(t, err)
	require.Contains(t, string(said), `"kind":"`+string(known.Kind)+`"`)
}

func (c dialled) says(t *testing.T, line []byte) {
	t.Helper()
	_, err := c.Write(append(bytes.Clone(line), '\n'))
	require.NoError(t, err)
}

// A peer of today serves behind a relay and a control plane of earlier builds, and says nothing that those would not expect.
func TestAnEarlierRelayIsServed(t *testing.T) {
	for _, build := range golden.Builds {
		for _, how := range []string{"scale_in", "shutdown"} {
			t.Run(build+" "+how, func(t *testing.T) { serveOldRelay(t, newOldRelay(t, build), how) })
		}
	}
}

func serveOldRelay(t *testing.T, o oldRelay, how string) {
	cancel, ended := start(t, map[string]string{
		"LAMBDA_DISPATCH_PEER_RELAY": "http://" + o.Addr().String(), "LAMBDA_DISPATCH_PEER_FUNCTION": "web", "LAMBDA_DISPATCH_PEER_TOKEN": "function-token",
	}, io.Discard)
	peer, relay := o.read(how+".peer"), o.read(how+".relay")
	register(t, o)

	control := o.next(how)
	control.hears(t, peer.Lines[0])
	control.says(t, relay.Lines[0])
	tunnel := o.next("tunnel")
	_, err := io.WriteString(tunnel, "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(tunnel.in, nil)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Regexp(t, "^[a-z0-9]{16} 1$", string(text))

	if how == "shutdown" {
		cancel()
		control.await(t, wire.KindDrain, peer.Lines[2])
	}
	control.says(t, relay.Lines[1])
	control.await(t, wire.KindGoodbye, peer.Lines[len(peer.Lines)-1])
	cancel()
	require.NoError(t, <-ended)
}

// register answers the registration as an earlier relay did.
func register(t *testing.T, o oldRelay) {
	t.Helper()
	said := o.read("registration.peer")
	conn, err := o.Accept()
	require.NoError(t, err)
	defer conn.Close()
	c := dialled{conn, bufio.NewReader(conn)}
	request, err := http.ReadRequest(c.in)
	require.NoError(t, err)
	require.Equal(t, "POST "+wire.RegisterPath, request.Method+" "+request.RequestURI)
	body, err := io.ReadAll(request.Body)
	require.NoError(t, err)
	require.NoError(t, golden.Includes(body, said.Lines[0]))
	answer := o.read("registration.relay").Lines[0]
	_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n"+string(answer))
	require.NoError(t, err)
}

// await skips what a peer says of its load, and holds the message of that kind next to an earlier peer's. Other kinds must
// not come: an earlier relay has no word for them.
func (c dialled) await(t *testing.T, kind wire.Kind, line []byte) {
	t.Helper()
	for {
		said, err := c.in.ReadBytes('\n')
		require.NoError(t, err)
		m, err := wire.DecodeMessage(said)
		require.NoError(t, err)
		if m.Kind == wire.KindLoad {
			continue
		}
		require.Equal(t, kind, m.Kind)
		require.NoError(t, golden.Includes(said, line), "%s", said)
		return
	}
}
