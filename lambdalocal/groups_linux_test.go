package lambdalocal_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/cgroup"
)

// requireGroups skips the test where the kernel lets this user limit nothing.
func requireGroups(t *testing.T) {
	t.Helper()
	h, err := cgroup.Open()
	h.Close()
	if err != nil {
		t.Skip(err)
	}
}

// The limits are those of Lambda unless the configuration says otherwise, of all processes together, also of root's.
func TestMemoryIsLimitedAsInLambda(t *testing.T) {
	requireGroups(t)
	t.Parallel()
	m := run(t, "runtime", nil)
	out, err := m.try(order{Do: "shell", Text: "head -c 200000000 /dev/zero | tail -c 200000000 | sleep 1000"})
	require.NoError(t, err)
	require.Contains(t, string(out.Payload), "Runtime.OutOfMemory")
}

func TestProcessesAreLimitedAsInLambda(t *testing.T) {
	requireGroups(t)
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.MemoryMB = 1024 }) // a thousand processes have some, too
	var said string
	m.invokeInto(&said, order{Do: "shell", Text: "n=0; while [ $n -lt 1100 ]; do sleep 1000 >/dev/null 2>&1 & n=$((n+1)); done; echo all"})
	require.Contains(t, said, "fork")
	require.NotContains(t, said, "all")
}

// What is in /tmp is no memory.
func TestFilesInTmpAreNoMemory(t *testing.T) {
	requireGroups(t)
	t.Parallel()
	m := run(t, "runtime", nil)
	requireIsolation(t, m)
	var out string
	m.invokeInto(&out, order{Do: "shell", Text: "head -c 300000000 /dev/zero > /tmp/file; wc -c < /tmp/file"})
	require.Equal(t, "300000000", strings.TrimSpace(out))
}

func TestLimitsMayBeTakenOff(t *testing.T) {
	requireGroups(t)
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.EnforceMemory, f.Limits = new(false), lambdalocal.Limits{} })
	var out string
	m.invokeInto(&out, order{Do: "shell", Text: "head -c 200000000 /dev/zero | tail -c 200000000 | wc -c"})
	require.Equal(t, "200000000", strings.TrimSpace(out))
}

// untilRecorded waits, in a shell, for what was started before.
const untilRecorded = "until [ -s $RECORD ]; do sleep 0.01; done"

// A daemon is nobody's child.
func TestDaemonsAreFrozenAndEndWithTheirEnvironment(t *testing.T) {
	requireGroups(t)
	t.Parallel()
	m := run(t, "runtime", nil)
	m.invoke(order{Do: "shell", Text: "(setsid sh -c 'while :; do echo tick >> $RECORD; done' >/dev/null 2>&1 &); " + untilRecorded})
	m.eventually("frozen", m.allStopped)
	more := strconv.Itoa(len(m.recorded()) + 50)
	m.invoke(order{Do: "shell", Text: "while [ $(wc -c < $RECORD) -le " + more + " ]; do sleep 0.001; done"}) // it goes on
	m.eventually("frozen again", m.allStopped)
	m.Kill(m.Environments()[0].ID)
	m.eventually("gone", func() bool { return len(m.Environments()) == 0 })
	require.Empty(t, processes(t, m.mark))
}

// What an init that failed has left behind does not see the second one.
func TestDaemonsEndWithTheirInit(t *testing.T) {
	requireGroups(t)
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		leave := "[ -s $RECORD ] || { (setsid sh -c 'echo up > $RECORD; exec sleep 1000' >/dev/null 2>&1 &); " +
			untilRecorded + "; exit 1; }; "
		f.Command = []string{"sh", "-c", leave + "exec " + strings.Join(f.Command, " ")}
	})
	m.invoke(order{})
	require.Len(t, processes(t, m.mark), 1)
}

// allStopped says whether the runtime and what it started stand still.
func (m *machine) allStopped() bool {
	pids := processes(m.t, m.mark)
	for _, pid := range pids {
		if text, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains("TZ", strings.Fields(string(text))[2]) {
			return false
		}
	}
	return len(pids) > 1
}

func (m *machine) invokeInto(into any, o order) {
	m.t.Helper()
	payload := m.invoke(o).Payload
	require.NoError(m.t, json.Unmarshal(payload, into), string(payload))
}
