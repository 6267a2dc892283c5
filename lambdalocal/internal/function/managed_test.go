package function

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The fuller of slots and processors decides, and twice what is in use is there.
func TestManagedInstancesKeepHeadroom(t *testing.T) {
	m := &Managed{Min: 3, Max: 20, VCPUs: 2}
	for name, tt := range map[string]struct {
		peak int
		cpu  time.Duration
		want int
	}{
		"nothing":             {0, 0, 3},
		"half of three":       {15, 0, 3},
		"one more":            {16, 0, 4},
		"all processors busy": {1, 60 * time.Second, 6},
		"above the most":      {1000, 0, 20},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, m.want(10, tt.peak, tt.cpu, 10*time.Second)) })
	}
}

func TestTheRoomiestEnvironmentIsChosen(t *testing.T) {
	var none fleet
	l, _, pending := none.roomiest()
	require.Nil(t, l)
	require.False(t, pending)
	starting := fleet{lives: []*life{{state: Init}}}
	l, _, pending = starting.roomiest()
	require.Nil(t, l)
	require.True(t, pending)
}
