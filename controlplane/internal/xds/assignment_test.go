package xds

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
)

// A push is due if and only if paths or healths differ, and what is published is then what is there, sorted.
func TestUpdatePublishesMembershipAndHealth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAssignment()
		var before []upstream.Endpoint
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			now := drawEndpoints(t)
			changed := a.update(slices.Clone(now), false)
			require.Equal(t, !sameEndpoints(before, now), changed)
			resource := a.resource("f")
			require.NoError(t, resource.ValidateAll())
			require.Equal(t, len(now), len(pathsOf(resource)))
			require.True(t, slices.IsSorted(pathsOf(resource)))
			before = now
		}
	})
}

func drawEndpoints(t *rapid.T) []upstream.Endpoint {
	paths := rapid.SliceOfNDistinct(rapid.StringMatching(`/e/[0-9]`), 0, 6, rapid.ID[string]).Draw(t, "paths")
	endpoints := make([]upstream.Endpoint, len(paths))
	for i, path := range paths {
		endpoints[i] = upstream.Endpoint{
			Path:   path,
			Health: upstream.Health(rapid.IntRange(0, 2).Draw(t, "health")),
			Weight: rapid.Uint32Range(0, 1000).Draw(t, "weight"),
		}
	}
	return endpoints
}

func sameEndpoints(a, b []upstream.Endpoint) bool {
	plain := func(in []upstream.Endpoint) map[string]upstream.Health {
		out := make(map[string]upstream.Health)
		for _, e := range in {
			out[e.Path] = e.Health
		}
		return out
	}
	return fmt.Sprint(plain(a)) == fmt.Sprint(plain(b))
}

func TestWeightsFollowTheAverageNotTheMoment(t *testing.T) {
	a := newAssignment()
	at := func(weight uint32) []upstream.Endpoint {
		return []upstream.Endpoint{{Path: "/e/1", Health: upstream.Healthy, Weight: weight}}
	}
	require.True(t, a.update(at(8), false))

	// A load that moves around its mean is not worth a push, however often it is sampled.
	for i := range 100 {
		require.False(t, a.update(at([]uint32{3, 13, 8, 5, 11}[i%5]), true))
	}
	require.True(t, a.drifting, "the present weight is not the average")

	// One that stays is, but not at once.
	pushes := 0
	for range 100 {
		if a.update(at(1), true) {
			pushes++
		}
	}
	require.Equal(t, 2, pushes, "halved, and settled")
	require.EqualValues(t, 1, a.endpoints[0].weight)
	require.False(t, a.drifting)
}

func TestQuantized(t *testing.T) {
	for weight, want := range map[float64]uint32{0: 1, 1: 1, 1.9: 1, 2: 2, 7: 4, 8: 8, 1e9: 65536} {
		require.Equal(t, want, quantized(weight), weight)
	}
}

// BenchmarkRebuild is one push: read, sort, compare, build, encode; with nothing changed, it is the first three.
func BenchmarkRebuild(b *testing.B) {
	endpoints := make([]upstream.Endpoint, 1000)
	for i := range endpoints {
		endpoints[i] = upstream.Endpoint{Path: fmt.Sprintf("/run/lambda-dispatch/e/web-%04d", i), Health: upstream.Healthy, Weight: 10}
	}
	buf := make([]upstream.Endpoint, len(endpoints))
	for _, change := range []bool{false, true} {
		b.Run(fmt.Sprintf("changed=%t", change), func(b *testing.B) {
			a := newAssignment()
			a.update(slices.Clone(endpoints), false)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				copy(buf, endpoints)
				if change {
					buf[500].Health = upstream.Health(i % 2)
				}
				if a.update(buf, false) {
					_ = pack(a.resource("web"))
				}
			}
		})
	}
}
