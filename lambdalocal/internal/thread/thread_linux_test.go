package thread_test

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/thread"
)

// A process that wants to die with the thread that started it survives however many threads are used up.
func TestAThreadWithChildrenDoesNotEnd(t *testing.T) {
	var children []*exec.Cmd
	for range 2 * runtime.GOMAXPROCS(0) {
		cmd := exec.Command("sleep", "100")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		require.NoError(t, cmd.Start())
		children = append(children, cmd)
		var used sync.WaitGroup
		for range 50 {
			used.Go(func() { require.NoError(t, thread.Do(func() error { return nil })) })
		}
		used.Wait()
	}
	for _, cmd := range children {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.ErrorContains(t, cmd.Wait(), "terminated")
	}
}
