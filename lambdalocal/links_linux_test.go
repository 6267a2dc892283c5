package lambdalocal_test

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// A function dials the world through a link, and faults choose its connection by the environment that it came from.
func TestALinkBetweenAFunctionAndTheWorld(t *testing.T) {
	t.Parallel()
	world, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer world.Close()
	m := linked(t, world.Addr().String())
	ended := make(chan string, 1)
	go func() {
		out, err := m.try(order{Do: "dial", Text: m.LinkAddrs()[0]})
		if err != nil {
			ended <- err.Error()
			return
		}
		ended <- string(out.Payload)
	}()
	conn, err := world.Accept()
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	echoes := func() {
		t.Helper()
		_, err := conn.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 1))
		require.NoError(t, err)
	}
	echoes()
	environment := m.Environments()[0].ID

	id, err := m.AddFault(lambdalocal.Fault{Kind: lambdalocal.FaultLinkLatency, Environment: environment, Delay: 50 * time.Millisecond})
	require.NoError(t, err)
	began := time.Now()
	echoes()
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	require.True(t, m.RemoveFault(id))

	_, err = m.AddFault(lambdalocal.Fault{Kind: lambdalocal.FaultLinkReset, Environment: "another"})
	require.NoError(t, err)
	echoes()
	_, err = m.AddFault(lambdalocal.Fault{Kind: lambdalocal.FaultLinkReset, Function: "web", Environment: environment})
	require.NoError(t, err)
	require.Contains(t, <-ended, "connection reset")
	_, err = conn.Read(make([]byte, 1))
	require.ErrorContains(t, err, "connection reset")
}

// linked is run with a link to the address.
func linked(t *testing.T, to string) *machine {
	self, err := os.Executable()
	require.NoError(t, err)
	m := &machine{t: t, mark: t.Name()}
	f := lambdalocal.DefaultFunction("web")
	f.Command, f.Timeout = []string{self, "runtime"}, soon
	f.Env = map[string]string{marker: m.mark}
	cfg := lambdalocal.Default()
	cfg.Address, cfg.Functions = "127.0.0.1:0", []lambdalocal.Function{f}
	cfg.Links = []lambdalocal.Link{{Listen: "127.0.0.1:0", To: to}}
	m.Server, err = lambdalocal.New(cfg, quiet())
	require.NoError(t, err)
	m.start()
	return m
}
