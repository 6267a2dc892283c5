package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheEndOfAPartsOutputIsInItsError(t *testing.T) {
	var w lastWords
	require.Equal(t, ". It had printed nothing", w.end())
	for k := range 10_000 {
		fmt.Fprintf(&w, "line %d\n", k)
	}
	end := w.end()
	require.True(t, strings.HasPrefix(end, ". The end of its output:\nline 9988\n"), end)
	require.True(t, strings.HasSuffix(end, "\nline 9999"), end)
}

func TestTheErrorOfAPartThatEndsSaysHow(t *testing.T) {
	for script, says := range map[string]string{
		"kill -9 $$":           "control plane ended unexpectedly (signal: killed). It had printed nothing",
		"echo no room; exit 3": "control plane ended unexpectedly (exit status 3). The end of its output:\nno room",
		"exit 0":               "control plane ended unexpectedly (exit status 0). It had printed nothing",
	} {
		s := &Stack{failed: make(chan *part, 3)}
		require.NoError(t, s.run(controlPlane, exec.Command("sh", "-c", script), nil))
		require.EqualError(t, s.Failed(t.Context()), says)
	}
}

// A request in flight needs Envoy and its instance until the control plane says that none is left.
func TestPartsStopInTheOrderThatServesRequestsInFlight(t *testing.T) {
	var stopped []string
	s := &Stack{failed: make(chan *part, 3)}
	for _, name := range []string{lambdalocal, controlPlane, envoyProxy} {
		s.parts = append(s.parts, &part{name: name, stop: func(context.Context) { stopped = append(stopped, name) }})
	}
	s.Stop(context.Background())
	require.Equal(t, []string{controlPlane, envoyProxy, lambdalocal}, stopped)
}

func TestASecondCtrlCEndsAControlPlaneThatDrains(t *testing.T) {
	signals := make(chan os.Signal)
	first, second := Interrupts(signals)
	s := &Stack{failed: make(chan *part, 3)}
	require.NoError(t, s.run(controlPlane, exec.Command("sh", "-c", "trap 'echo drains' TERM; echo runs; while :; do sleep 0.05; done"), nil))
	said := s.parts[0].words
	require.Eventually(t, prints(said, "runs"), startTimeout, 10*time.Millisecond)

	signals <- os.Interrupt
	<-first.Done()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.Stop(second)
	}()
	require.Eventually(t, prints(said, "drains"), startTimeout, 10*time.Millisecond)
	signals <- os.Interrupt
	<-stopped
	require.Error(t, second.Err())
	<-s.parts[0].done
}

func TestASIGTERMThatComesTwiceIsOneAndALaterOneInsists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		_, second := Interrupts(signals)
		signals <- syscall.SIGTERM
		signals <- syscall.SIGTERM
		synctest.Wait()
		require.NoError(t, second.Err())
		time.Sleep(sameSignal)
		signals <- syscall.SIGTERM
		<-second.Done()
	})
}

func prints(said *lastWords, text string) func() bool {
	return func() bool { return strings.Contains(said.end(), text) }
}
