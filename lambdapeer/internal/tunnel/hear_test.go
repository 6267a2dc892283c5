package tunnel

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Thousands of peers that dial a relay again fill its host's queue: no answer then is no reason to give up. A host that went
// silent before is another matter.
func TestWhetherTheRelayIsThere(t *testing.T) {
	timeout := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	unreachable := &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
	for name, test := range map[string]struct {
		before []error // of attempts; nil: it took the connection
		lost   error
		after  []error
		alive  bool
	}{
		"closed in order, then no answer":      {before: []error{nil}, lost: io.EOF, after: []error{timeout, timeout}, alive: true},
		"reset, then no answer":                {before: []error{nil}, lost: syscall.ECONNRESET, after: []error{timeout}, alive: true},
		"went silent":                          {before: []error{nil}, lost: timeout},
		"went silent, then no answer":          {before: []error{nil}, lost: timeout, after: []error{timeout}},
		"went silent and came back":            {before: []error{nil}, lost: timeout, after: []error{timeout, nil}, alive: true},
		"refuses":                              {before: []error{nil}, lost: io.EOF, after: []error{refused}},
		"refused, and then its queue was full": {before: []error{nil}, lost: io.EOF, after: []error{refused, timeout}, alive: true},
		"has gone":                             {before: []error{nil}, lost: io.EOF, after: []error{unreachable, timeout}},
		"never answered":                       {before: []error{timeout}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Dialer{}
			for _, err := range test.before {
				d.hear(err)
			}
			if test.lost != nil {
				d.Lost(fmt.Errorf("control stream: %w", test.lost))
			}
			for _, err := range test.after {
				d.hear(err)
			}
			require.Equal(t, test.alive, d.Alive())
		})
	}
}

// An attempt that its own peer gave up says nothing about the relay.
func TestACancelledAttemptSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	d, err := NewDialer(wire.Relay{Address: l.Addr().String()}, "token", nil, &Traffic{})
	require.NoError(t, err)
	d.hear(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Dial(ctx, wire.TunnelPath)
	require.Error(t, err)
	require.True(t, d.Alive())
}
