package environment

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTailKeepsTheLastBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var kept tail
		var all strings.Builder
		for _, line := range rapid.SliceOf(rapid.StringN(0, 2000, -1)).Draw(t, "lines") {
			kept.add(line)
			all.WriteString(line + "\n")
		}
		want := all.String()
		want = want[max(0, len(want)-tailSize):]
		require.Equal(t, want, string(kept.take()))
		require.Empty(t, kept.take())
	})
}

func TestPortsAreFreeAndNobodyElses(t *testing.T) {
	var ports Ports
	seen := map[int]bool{}
	for range 20 {
		port, release, err := ports.Take()
		require.NoError(t, err)
		require.False(t, seen[port])
		seen[port] = true
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		require.NoError(t, err)
		require.NoError(t, l.Close())
		if len(seen)%2 == 0 {
			release()
			release()
		}
	}
	require.Len(t, ports.used, 10)
}

func TestTheReportLine(t *testing.T) {
	require.Empty(t, status(Errored, "MyError"))
	require.Equal(t, "\tStatus: timeout", status(TimedOut, "Sandbox.Timedout"))
	require.Equal(t, "\tStatus: error\tError Type: Runtime.ExitError", status(Crashed, "Runtime.ExitError"))
}
