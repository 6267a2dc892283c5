package scaler_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

func sharing(account, total *scaler.Budget) *scaler.Guards {
	return scaler.NewGuards(scaler.Settings{
		Max: 100, StartsInProgress: 100, StartsPerSecond: 1000, StartsBurst: 1000, Account: account, Total: total, Price: scaler.NewPrice(1, 0),
	}, 1)
}

// The functions of an account share its concurrency: what one has the other cannot get before it ends.
func TestFunctionsOfAnAccountShareItsConcurrency(t *testing.T) {
	account := scaler.NewPlaces(10)
	web, api := sharing(account, nil), sharing(account, nil)
	n, block := web.Take(epoch, scaler.Load{}, 7)
	require.Equal(t, 7, n)
	require.Zero(t, block)
	n, block = api.Take(epoch, scaler.Load{}, 7)
	require.Equal(t, 3, n)
	require.Equal(t, scaler.AtAccount, block.Reason)
	require.Zero(t, block.Until, "an instance must end")

	web.Release(epoch, web.Price(), 0)
	_, block = api.Room(epoch, scaler.Load{Live: 3})
	require.Equal(t, scaler.AtAccount, block.Reason)
	room, _ := api.Room(block.Until, scaler.Load{Live: 3})
	require.Equal(t, 1, room, "an environment is free a moment after its answer")
	api.Inherit(block.Until, api.Price())
	room, _ = web.Room(block.Until, scaler.Load{Live: 6})
	require.Zero(t, room, "what was taken over counts")
}

// A start that the account does not allow takes nothing of the money that all functions share.
func TestWhatTheAccountRefusesCostsNothing(t *testing.T) {
	account, total := scaler.NewPlaces(2), scaler.NewBudget(100)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { sharing(account, total).Take(epoch, scaler.Load{}, 2) })
	}
	all.Wait()
	require.InDelta(t, 2, total.PerHour(epoch.Add(time.Second)), 1e-9)
}
