package relay

import (
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

// An old is a peer of an earlier build, byte for byte.
type old struct {
	*bed
	build string
}

func (o old) read(name string) golden.Side {
	return golden.Read(o.build, name, o.token(golden.Instance), o.Advertised().Address)
}

// dials sends what the peer sent first and holds the answer to what it got.
func (o old) dials(name string) net.Conn {
	o.Helper()
	c := o.dial()
	o.Cleanup(func() { _ = c.Close() })
	require.NoError(o, c.SetDeadline(time.Now().Add(patience)))
	_, err := c.Write(o.read(name + ".peer").Head)
	require.NoError(o, err)
	require.Equal(o, string(o.read(name+".relay").Head), string(o.head(c)))
	return c
}

func (o old) says(c net.Conn, line []byte) {
	o.Helper()
	_, err := c.Write(append(bytes.Clone(line), '\n'))
	require.NoError(o, err)
}

// hears holds what the relay says next to what an earlier one said.
func (o old) hears(c net.Conn, line []byte) {
	o.Helper()
	require.NoError(o, golden.Includes(o.line(c), line))
}

func (o old) line(c net.Conn) []byte {
	o.Helper()
	var line []byte
	for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\n")); line = append(line, one...) {
		_, err := io.ReadFull(c, one)
		require.NoError(o, err, "after %q", line)
	}
	return line
}

func forOldPeers(t *testing.T, test func(t *testing.T, o old)) {
	for _, build := range golden.Builds {
		t.Run(build, func(t *testing.T) {
			b := newBed(t, plain)
			test(t, old{b, build})
		})
	}
}

func TestAnEarlierPeerIsScaledIn(t *testing.T) {
	forOldPeers(t, func(t *testing.T, o old) {
		o.expect(golden.Instance)
		peer, relay := o.read("scale_in.peer"), o.read("scale_in.relay")
		control, tunnel := o.dials("scale_in"), o.dials("tunnel")
		o.says(control, peer.Lines[0])
		o.hears(control, relay.Lines[0])
		o.eventually(func() bool { return len(o.events.all()) == 1 }, "never up")
		envoy := o.envoy(golden.Instance)
		exchangeBoth(t, envoy, tunnel, "a request and its answer")
		o.says(control, peer.Lines[1])
		o.eventually(func() bool { return o.events.has("load i-1 1") }, "no load")
		o.Drain(golden.Instance, wire.ReasonScaleIn)
		o.hears(control, relay.Lines[1])
		_ = envoy.Close()
		o.says(control, peer.Lines[2])
		o.eventually(func() bool { return o.events.has("down i-1") }, "not down")
		report, err := o.events.down(golden.Instance)
		require.NoError(t, err)
		require.Equal(t, wire.ReasonScaleIn, report.Reason)
		require.EqualValues(t, 1, report.Requests)
		requireEnd(t, control)
	})
}

func TestAnEarlierPeerShutsDown(t *testing.T) {
	forOldPeers(t, func(t *testing.T, o old) {
		o.expect(golden.Instance)
		peer, relay := o.read("shutdown.peer"), o.read("shutdown.relay")
		control := o.dials("shutdown")
		o.dials("tunnel")
		o.says(control, peer.Lines[0])
		o.hears(control, relay.Lines[0])
		o.eventually(func() bool { return len(o.events.all()) == 1 }, "never up")
		o.says(control, peer.Lines[2])
		o.eventually(func() bool { return o.events.has("draining i-1 shutdown") }, "not draining")
		o.Drain(golden.Instance, wire.ReasonStopping)
		o.hears(control, relay.Lines[1])
		o.says(control, peer.Lines[3])
		o.eventually(func() bool { return o.events.has("down i-1") }, "not down")
		requireEnd(t, control)
	})
}

func TestAnEarlierPeerRegisters(t *testing.T) {
	forOldPeers(t, func(t *testing.T, o old) {
		answer := golden.Read(o.build, "registration.relay", "token", "relay.example:8443")
		o.events.register = func(bearer string, r wire.Registration) (wire.Invocation, error) {
			require.Equal(t, "function-token", bearer)
			require.Equal(t, "web", r.Function)
			inv, err := wire.DecodeInvocation(answer.Lines[0])
			inv.Features = wire.ControlFeatures()
			return inv, err
		}
		c := o.dial()
		said := o.read("registration.peer")
		res, body := o.ask(c, string(said.Head)+string(said.Lines[0]))
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.NoError(t, golden.Includes([]byte(body), answer.Lines[0]))
	})
}

// An earlier peer reads why it is refused where it always did.
func TestAnEarlierPeerIsRefused(t *testing.T) {
	forOldPeers(t, func(t *testing.T, o old) {
		c := o.dial()
		was := o.read("unauthorized.relay")
		res, body := o.ask(c, upgrade(wire.ControlPath, "wrong"))
		require.Equal(t, http.StatusUnauthorized, res.StatusCode)
		require.Equal(t, string(was.Lines[0]), strings.TrimSpace(body))

		o.expect(golden.Instance)
		control := o.dials("scale_in")
		o.says(control, []byte(`{"kind":"hello","version":2}`))
		o.hears(control, o.read("another_version.relay").Lines[0])
		requireEnd(t, control)
	})
}
