package dispatch

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// An environment that ends because it is worn is no failure, however its invocation ends, and is counted on no more.
func TestAWornEnvironmentEnds(t *testing.T) {
	for name, end := range map[string]provider.End{
		"as it said":           {Report: &wire.Report{Reason: wire.ReasonRotation, Worn: wire.NoticeWornMemory}},
		"with its process":     {Cause: scaler.Crashed, Detail: "Runtime exited without providing a reason"},
		"with its connections": {Cause: scaler.Network},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				id, lease := w.up()
				w.Load(id, relays.Load{InFlight: 1, Memory: 400 << 20})
				w.Notice(id, wire.NoticeWornMemory)
				require.Equal(t, "memory", w.Instances()[0].Worn)
				require.EqualValues(t, 400<<20, w.Instances()[0].MemoryBytes)
				lease.Release()
				w.Down(id, &wire.Report{Reason: wire.ReasonRotation, Worn: wire.NoticeWornMemory}, nil)
				w.end(id, end)
				f := w.Functions()[0]
				require.Equal(t, map[string]uint64{"memory": 1}, f.Worn)
				require.Equal(t, map[string]uint64{"rotation": 1}, f.Ends)
				require.Zero(t, f.Frozen)
				require.Empty(t, f.StartFailures)
			})
		})
	}
}
