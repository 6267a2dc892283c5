package scaler_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// costly are the settings of a function that may have three instances and three environments, of six that all functions may have.
func costly() scaler.Settings {
	return scaler.Settings{
		Max: 100, StartsInProgress: 100, StartsPerSecond: 100, StartsBurst: 100, Environments: 3,
		DollarsPerHour: 3, Total: scaler.NewBudget(6), Price: scaler.NewPrice(1, 0),
	}
}

// heir makes guards that take over after a note was written so long ago.
func heir(t *testing.T, n scaler.GuardsNote, ago time.Duration) (*scaler.Guards, scaler.Settings) {
	text, err := json.Marshal(n)
	require.NoError(t, err)
	var back scaler.GuardsNote
	require.NoError(t, json.Unmarshal(text, &back))
	s := costly()
	g := scaler.NewGuards(s, 1)
	g.Learn(epoch.Add(ago), back, ago)
	return g, s
}

// What is held for instances that were lost is held by whoever takes over, for as long as is left of it: no ceiling is passed.
func TestClaimsOfWhatWasLostAreHandedOn(t *testing.T) {
	before := scaler.NewGuards(costly(), 1)
	before.Take(epoch, scaler.Load{}, 3)
	before.Release(epoch, scaler.NewPrice(1, 0), time.Minute)
	before.Release(epoch, scaler.NewPrice(1, 0), 30*time.Second)
	for at, room := range map[time.Duration]int{20 * time.Second: 0, 31 * time.Second: 1, 59 * time.Second: 1, 61 * time.Second: 2} {
		after, s := heir(t, before.Note(epoch), 20*time.Second)
		after.Inherit(epoch.Add(20*time.Second), s.Price) // the one that runs
		got, block := after.Room(epoch.Add(at), scaler.Load{Live: 1})
		require.Equal(t, room, got, at)
		require.Contains(t, []scaler.Reason{scaler.Dollars, scaler.NoPlace}, block.Reason)
		require.InDelta(t, 3-room, s.Total.PerHour(epoch.Add(at)), 1e-9, "of all functions together, too")
	}
}

// Many claims travel as few, none of them shorter than it was; and those of a note that makes no sense are none.
func TestClaimsOfANoteAreBounded(t *testing.T) {
	before := scaler.NewGuards(costly(), 1)
	for n := range 1000 {
		before.Inherit(epoch, scaler.NewPrice(1, 0))
		before.Release(epoch, scaler.NewPrice(1, 0), time.Duration(n)*time.Second)
	}
	note := before.Note(epoch)
	require.Less(t, len(note.Held), 200)
	_, s := heir(t, note, time.Second)
	for _, at := range []time.Duration{0, 500 * time.Second, 990 * time.Second} {
		require.GreaterOrEqual(t, s.Total.PerHour(epoch.Add(at)), 999-at.Seconds(), at)
	}
	require.Zero(t, s.Total.PerHour(epoch.Add(1000*time.Second)))

	for _, odd := range []scaler.ClaimNote{{-1, time.Minute}, {math.MaxInt64, time.Minute}, {1e12, -time.Minute}} {
		_, s := heir(t, scaler.GuardsNote{Held: []scaler.ClaimNote{odd}}, 0)
		require.Zero(t, s.Total.PerHour(epoch), odd)
	}
	_, s = heir(t, scaler.GuardsNote{Held: []scaler.ClaimNote{{1e12, math.MaxInt64}}}, 0)
	require.Zero(t, s.Total.PerHour(epoch.Add(2*time.Hour)), "no claim is held for ever")
}
