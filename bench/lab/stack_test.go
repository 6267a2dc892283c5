package lab

import (
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func TestBothPartsAcceptTheirConfiguration(t *testing.T) {
	envoytest.Binary(t)
	l, err := New(t.Context(), 1)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	s := &Stack{
		Dir: "/tmp/s", App: "/bin/true", Front: "127.0.0.1:1", Direct: "127.0.0.1:2", Admin: "127.0.0.1:3", Invoke: "127.0.0.1:4",
		Relay: "127.0.0.1:5", Functions: []Function{{Name: "a"}, {Name: "b", Scaling: "{min: 1}"}, {Name: "c", Managed: true, Command: []string{"/bin/echo", "a b"}, Beside: "/bin/true"}},
	}
	write := func(name string, config *template.Template) string {
		path, err := s.write(l, name, config)
		require.NoError(t, err)
		return path
	}
	local, err := lambdalocal.Load(write("lambdalocal", lambdaYAML))
	require.NoError(t, err)
	require.NoError(t, local.Validate())
	require.Len(t, local.Functions, 3)
	require.Equal(t, MemoryMB, local.Functions[1].MemoryMB)
	require.Equal(t, []string{"/bin/true"}, local.Functions[1].Command)
	require.Equal(t, []string{"/bin/echo", "a b"}, local.Functions[2].Command)
	require.Equal(t, []string{"/bin/true"}, local.Functions[2].Extensions[0].Command)
	ours, err := controlplane.LoadConfig(write("controlplane", stackYAML), nil, nil)
	require.NoError(t, err)
	require.Equal(t, lambdalocal.DefaultManaged(), *local.Functions[2].Managed)
	require.Len(t, ours.Functions, 2)
	require.Equal(t, []int{0, 1}, []int{ours.Functions[0].Scaling.Min, ours.Functions[1].Scaling.Min})
	require.Equal(t, MemoryMB, ours.Functions[0].Lambda.MemoryMB)
}

func TestAnOriginIsNamedByWhatItIsOf(t *testing.T) {
	o := Origin{Commit: "abc1234-dirty"}
	require.Equal(t, "0001-01-01-abc1234.json", o.Name(""))
	require.Equal(t, "0001-01-01-abc1234-bill.json", o.Name("bill"))
	require.False(t, strings.Contains(o.String(), "%!"), o.String())
}
