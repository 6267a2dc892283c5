package patient_test

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/patient"
)

// A listener without descriptors until a time.
type starved struct {
	net.Listener
	until time.Time
	tries int
}

func (s *starved) Addr() net.Addr { return &net.UnixAddr{Name: "s"} }

func (s *starved) Accept() (net.Conn, error) {
	s.tries++
	if time.Now().Before(s.until) {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	conn, _ := net.Pipe()
	return conn, nil
}

func TestAcceptGoesOnAndSaysSoOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := test.NewNullLogger()
		s := &starved{until: time.Now().Add(4900 * time.Millisecond)}
		conn, err := patient.Listener(s, log).Accept()
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.Len(t, said.AllEntries(), 5)
		require.Contains(t, said.LastEntry().Message, "accept")
		require.ErrorIs(t, said.LastEntry().Data["error"].(error), syscall.EMFILE)
		require.InDelta(t, 98, s.tries, 3)
	})
}

func TestAClosedListenerEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	log, said := test.NewNullLogger()
	_, err = patient.Listener(l, log).Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	require.Empty(t, said.AllEntries())
}
