package lambdalocal_test

import (
	"encoding/json"
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

// Memory, processes and descriptors are limited as in Lambda unless the configuration says otherwise: that of all processes
// together, also of root's.
func TestLimitsAreThoseOfLambda(t *testing.T) {
	requireGroups(t)
	t.Parallel()
	m := run(t, "runtime", nil)
	out, err := m.try(order{Do: "shell", Text: "head -c 200000000 /dev/zero | tail -c 200000000 | sleep 1000"})
	require.NoError(t, err)
	require.Contains(t, string(out.Payload), "Runtime.OutOfMemory")

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

func (m *machine) invokeInto(into any, o order) {
	m.t.Helper()
	require.NoError(m.t, json.Unmarshal(m.invoke(o).Payload, into))
}
