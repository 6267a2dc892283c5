package pool_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func settings() pool.Settings {
	return pool.Settings{
		Concurrency: 10, QueueLimit: 1000, QueueTimeout: 30 * time.Second,
		StartTimeout: 20 * time.Second, DrainTimeout: 10 * time.Second,
		Scaling: scaler.Settings{
			Max: 100, StartsInProgress: 50, StartsPerSecond: 10, StartsBurst: 50, IdleAfter: 10 * time.Second,
		},
	}
}

func TestBurstOnEmptyPool(t *testing.T) {
	now := time.Unix(1000, 0)
	p := pool.New(settings())
	started := 0
	for range 200 {
		started += len(p.Acquire(now, &pool.Request{}).Start)
	}
	require.Equal(t, 20, started)
}
