package wear_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	mib   = int64(1) << 20
	limit = 512 * mib
)

// life looks at an environment every 100 ms whose app holds so much memory after a time and so many requests, until it is said to be
// worn, then urgently, or the time is over.
func life(perSecond float64, lasts time.Duration, used func(at time.Duration, requests int64) int64, l wear.Limits) (word wire.Notice, atWorn, atUrgent int64) {
	began, now, requests := time.Unix(1_000_000, 0), int64(0), int64(0)
	g := wear.New(began, limit, func() int64 { return now })
	for at := time.Duration(0); at < lasts; at += 100 * time.Millisecond {
		requests = int64(at.Seconds() * perSecond)
		now = used(at, requests)
		w, urgent := g.Look(began.Add(at), requests, l)
		if w != "" && word == "" {
			word, atWorn = w, now
		}
		if urgent {
			return word, atWorn, now
		}
	}
	return word, atWorn, 0
}

// An app that leaks says so in time: what comes until the next look, and ten requests that are in flight, have room.
func TestALeakIsSeenInTime(t *testing.T) {
	for _, perSecond := range []float64{1, 10, 100, 400} {
		t.Run(fmt.Sprint(perSecond), func(t *testing.T) {
			leaks := func(_ time.Duration, requests int64) int64 { return 40*mib + 2*mib*requests }
			word, worn, urgent := life(perSecond, 20*time.Minute, leaks, wear.Limits{})
			require.Equal(t, wire.NoticeWornMemory, word)
			require.NotZero(t, urgent)
			room := min(2*mib*int64(perSecond/10+10), 22*mib)
			if perSecond > 10 {
				room = 2 * mib * int64(perSecond/10+10)
			}
			require.LessOrEqual(t, urgent, limit-room)
			require.LessOrEqual(t, worn, urgent)
		})
	}
}

// An app that fills most of its memory and stays there is not worn, nor is one that starts.
func TestLongAFullEnvironmentIsNotWorn(t *testing.T) {
	for name, used := range map[string]func(at time.Duration, requests int64) int64{
		"full":   func(time.Duration, int64) int64 { return 500 * mib },
		"starts": func(at time.Duration, _ int64) int64 { return min(450*mib, int64(at/time.Millisecond)*mib/2) },
		"collects garbage": func(at time.Duration, _ int64) int64 {
			return 200*mib + int64(at/time.Millisecond%8000)*mib/100
		},
	} {
		word, _, _ := life(10, time.Hour, used, wear.Limits{})
		require.Empty(t, word, name)
	}
}

func TestRequestsAndAgeWear(t *testing.T) {
	calm := func(time.Duration, int64) int64 { return 100 * mib }
	word, _, urgent := life(10, time.Minute, calm, wear.Limits{Requests: 100})
	require.Equal(t, wire.NoticeWornRequests, word)
	require.Zero(t, urgent)
	word, _, _ = life(10, time.Minute, calm, wear.Limits{Age: 30 * time.Second})
	require.Equal(t, wire.NoticeWornAge, word)
	word, _, _ = life(10, time.Minute, calm, wear.Limits{Requests: 1000, Age: time.Hour})
	require.Empty(t, word)
}

// Requests count over all instances of the environment.
func TestRequestsOfEarlierInstancesCount(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	g := wear.New(began, 0, nil)
	word, _ := g.Look(began, 60, wear.Limits{Requests: 100})
	require.Empty(t, word)
	g.Served(60)
	word, _ = g.Look(began, 40, wear.Limits{Requests: 100})
	require.Equal(t, wire.NoticeWornRequests, word)
}
