package process

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 20 * time.Second

// output collects lines.
type output struct {
	mu   sync.Mutex
	text []string
}

func (o *output) line(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, text)
}

func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text
}

func shell(t *testing.T, script string) (*Group, *output) {
	t.Helper()
	o := &output{}
	g, err := Start(Spec{Argv: []string{"sh", "-c", script}, Dir: t.TempDir(), Env: os.Environ(), Line: o.line})
	require.NoError(t, err)
	t.Cleanup(func() { g.Kill(); <-g.Done() })
	return g, o
}

func TestOutputIsCompleteWhenDone(t *testing.T) {
	g, o := shell(t, "echo one; echo two >&2; printf three; exit 7")
	<-g.Done()
	require.Equal(t, []string{"one", "two", "three"}, o.lines())
	require.Equal(t, "exit status 7", g.ExitReason())
}

func TestALongLineComesInPieces(t *testing.T) {
	g, o := shell(t, "head -c 50000 /dev/zero | tr '\\0' x; echo")
	<-g.Done()
	require.Greater(t, len(o.lines()), 1)
	require.Equal(t, strings.Repeat("x", 50000), strings.Join(o.lines(), ""))
	require.Empty(t, g.ExitReason())
}

func TestWhatTheLeaderLeavesBehindIsKilled(t *testing.T) {
	g, o := shell(t, "sleep 1000 & echo $!")
	<-g.Done()
	require.Len(t, o.lines(), 1)
	require.Eventually(t, func() bool { return syscall.Kill(-g.PID(), 0) == syscall.ESRCH }, soon, time.Millisecond)
}

func TestTerminateReachesAFrozenGroup(t *testing.T) {
	g, o := shell(t, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
	require.Eventually(t, func() bool { return len(o.lines()) == 1 }, soon, time.Millisecond)
	g.Freeze()
	g.Terminate()
	<-g.Done()
	require.Contains(t, o.lines(), "bye")
}

func TestKillEndsAFrozenGroup(t *testing.T) {
	g, _ := shell(t, "trap '' TERM; sleep 1000")
	require.Positive(t, g.PeakMemory())
	g.Freeze()
	g.Kill()
	<-g.Done()
	require.Equal(t, "signal: killed", g.ExitReason())
	g.Freeze() // after the end: harmless
}

// emigrant is a process that left the group, busy with a counter.
func emigrant(t *testing.T) (g *Group, count func() int) {
	t.Helper()
	g, o := shell(t, "setsid sh -c 'while :; do echo tick; sleep 0.001; done' & wait")
	count = func() int { return len(o.lines()) }
	require.Eventually(t, func() bool { return count() > 0 }, soon, time.Millisecond)
	require.NotEmpty(t, emigrants(g.PID()))
	return g, count
}

func TestWhatLeftTheGroupIsFrozenWithIt(t *testing.T) {
	g, count := emigrant(t)
	g.Freeze()
	for _, pid := range descendants(g.PID()) {
		require.Eventually(t, func() bool { return stopped(pid) || gone(pid) }, soon, time.Millisecond, state(pid))
	}
	require.True(t, stopped(emigrants(g.PID())[0]), "the one that counts")
	frozen := count()
	g.Thaw()
	require.Eventually(t, func() bool { return count() > frozen }, soon, time.Millisecond)
}

func TestWhatLeftTheGroupIsKilledWithIt(t *testing.T) {
	g, _ := emigrant(t)
	pids := emigrants(g.PID()) // of the groups' leaders, too
	require.Positive(t, g.Memory())
	g.Freeze()
	g.Kill()
	<-g.Done()
	for _, pid := range pids {
		require.Eventually(t, func() bool { return gone(pid) }, soon, time.Millisecond)
	}
}

// state is the letter in /proc: T for stopped, Z for a zombie; empty if there is no such process.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return strings.Fields(string(text))[2]
}

// stopped includes D: a shell that vforked waits so for a child that was stopped before it could exec.
func stopped(pid int) bool { return state(pid) == "T" || state(pid) == "D" }

func gone(pid int) bool { return state(pid) == "" || state(pid) == "Z" }

func TestStartSaysWhatIsWrong(t *testing.T) {
	_, err := Start(Spec{Argv: []string{"./does-not-exist"}})
	require.ErrorContains(t, err, "does-not-exist")
}
