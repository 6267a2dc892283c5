package websocket

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns two connected ends.
func pair(t *testing.T) (client, server *Conn) {
	accepted := make(chan *Conn, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := Accept(w, r); err == nil {
			accepted <- conn
		}
	}))
	t.Cleanup(backend.Close)
	client, response, err := Dial(t.Context(), backend.URL, http.Header{"X-Test": {"1"}})
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	server = <-accepted
	t.Cleanup(func() { _, _ = client.Drop(), server.Drop() })
	return client, server
}

func TestMessagesBothWays(t *testing.T) {
	client, server := pair(t)
	for _, size := range []int{0, 1, 125, 126, 0xFFFF, 0x10000, 1 << 20} {
		message := bytes.Repeat([]byte("x"), size)
		for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
			sent := make(chan error, 1)
			go func() { sent <- ends[0].Write(Binary, message) }()
			opcode, got, err := ends[1].Read()
			require.NoError(t, err)
			require.NoError(t, <-sent)
			require.Equal(t, Binary, opcode)
			require.True(t, bytes.Equal(message, got), "%d bytes", size)
		}
	}
}

func TestCloseCodesTravelBothWays(t *testing.T) {
	for name, swap := range map[string]bool{"client closes": false, "server closes": true} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			if swap {
				a, b = b, a
			}
			require.NoError(t, a.Close(4001, "enough"))
			for _, end := range []*Conn{b, a} {
				_, _, err := end.Read()
				require.Equal(t, &CloseError{Code: 4001, Reason: "enough"}, err)
			}
			require.Error(t, a.Write(Text, []byte("late")))
		})
	}
}

func TestPingsAreAnsweredAndSkipped(t *testing.T) {
	client, server := pair(t)
	go func() {
		_, message, err := server.Read() // answers the ping on its way
		if err == nil {
			_ = server.Write(Text, message)
		}
	}()
	require.NoError(t, client.Ping())
	require.NoError(t, client.Write(Text, []byte("hello")))
	_, message, err := client.Read() // skips the pong
	require.NoError(t, err)
	require.Equal(t, "hello", string(message))
}

func TestFragmentsAreJoined(t *testing.T) {
	client, server := pair(t)
	var wire []byte
	wire = appendFrame(wire, frame{opcode: Text, payload: []byte("hel")}, true)
	wire = appendFrame(wire, frame{final: true, opcode: ping}, true)
	wire = appendFrame(wire, frame{final: true, opcode: continuation, payload: []byte("lo")}, true)
	_, err := client.conn.Write(wire)
	require.NoError(t, err)
	opcode, message, err := server.Read()
	require.NoError(t, err)
	require.Equal(t, Text, opcode)
	require.Equal(t, "hello", string(message))
}

func TestMistakesAreAnsweredWithACode(t *testing.T) {
	for name, test := range map[string]struct {
		wire []byte
		code int
	}{
		"not masked":        {appendFrame(nil, frame{final: true, opcode: Text}, false), ProtocolFailure},
		"lone continuation": {appendFrame(nil, frame{final: true, opcode: continuation}, true), ProtocolFailure},
		"unknown opcode":    {[]byte{0x83, 0x80, 0, 0, 0, 0}, ProtocolFailure},
		"too big":           {[]byte{0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, TooBig},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			_, err := client.conn.Write(test.wire)
			require.NoError(t, err)
			_, _, err = server.Read()
			require.Error(t, err)
			var closed *CloseError
			_, _, err = client.Read()
			require.ErrorAs(t, err, &closed)
			require.Equal(t, test.code, closed.Code)
		})
	}
}

func TestPlainRequestIsRefused(t *testing.T) {
	recorder := httptest.NewRecorder()
	_, err := Accept(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Error(t, err)
	require.Equal(t, http.StatusUpgradeRequired, recorder.Code)
}

func TestDialReportsTheAnswer(t *testing.T) {
	backend := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(backend.Close)
	_, response, err := Dial(t.Context(), backend.URL, nil)
	require.ErrorContains(t, err, "404 Not Found")
	require.Equal(t, http.StatusNotFound, response.StatusCode)
}

func TestDialIsBoundByItsContext(t *testing.T) {
	release := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(backend.Close)
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := Dial(ctx, backend.URL, nil)
	require.Error(t, err)
}

// The example of RFC 6455, section 1.3.
func TestAcceptKey(t *testing.T) {
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept("dGhlIHNhbXBsZSBub25jZQ=="))
}

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		masked := rapid.Bool().Draw(t, "masked")
		want := frame{
			final:   rapid.Bool().Draw(t, "final"),
			opcode:  rapid.SampledFrom([]Opcode{continuation, Text, Binary}).Draw(t, "opcode"),
			payload: []byte(strings.Repeat("ab", rapid.IntRange(0, 40_000).Draw(t, "half"))),
		}
		got, err := readFrame(bufio.NewReader(bytes.NewReader(appendFrame(nil, want, masked))), MaxMessage, masked)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, frame{final: true, opcode: Text, payload: []byte("hello")}, true), true)
	f.Add(appendFrame(nil, frame{opcode: Binary, payload: make([]byte, 300)}, false), false)
	f.Fuzz(func(t *testing.T, wire []byte, masked bool) {
		got, err := readFrame(bufio.NewReader(bytes.NewReader(wire)), 1<<10, masked)
		if err == nil {
			require.LessOrEqual(t, len(got.payload), 1<<10)
		}
	})
}
