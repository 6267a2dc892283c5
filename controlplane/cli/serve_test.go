package cli

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// defaultCores is how many cores Go would use.
func defaultCores() int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.SetDefaultGOMAXPROCS()
	return runtime.GOMAXPROCS(0)
}

func TestHalfOfTheCoresAreLeftToEnvoy(t *testing.T) {
	half := (defaultCores() + 1) / 2
	for _, command := range []string{"run", "relay"} {
		for asked, cores := range map[string]int{"": half, "3": 3} {
			t.Setenv("GOMAXPROCS", asked)
			require.Equal(t, cores, coresOf(t, command), "%s with GOMAXPROCS=%s", command, asked)
		}
	}
}

// coresOf starts run or relay, and returns how many cores its metrics say that it uses.
func coresOf(t *testing.T, command string) (cores int) {
	t.Helper()
	admin := freeAddress(t)
	key := map[string]string{"run": "admin.address=", "relay": "relay.admin="}[command]
	config := map[string]string{"run": valid, "relay": "relay: {apart: true}"}[command]
	p := startCommand(t, command, config, "--set", key+admin)
	p.says(" runs")
	answer, err := http.Get("http://" + admin + "/metrics")
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	const name = "\ngo_sched_gomaxprocs_threads "
	_, rest, found := strings.Cut(string(text), name)
	require.True(t, found)
	_, err = fmt.Sscan(rest, &cores)
	require.NoError(t, err)
	p.signal()
	require.NoError(t, p.end())
	return cores
}

// Whatever collects the log may end, and be started again.
func TestAServerOutlivesWhoReadsItsLog(t *testing.T) {
	for command, config := range map[string]string{"run": valid, "relay": "relay: {apart: true}"} {
		p := startCommand(t, command, config)
		p.says(" runs")
		require.NoError(t, p.pipe.Close())
		p.signal() // which it logs
		require.NoError(t, p.Wait(), command)
	}
}
