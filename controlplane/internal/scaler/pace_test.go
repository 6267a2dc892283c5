package scaler_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// An instance that is five times slower is known after a few requests; of those that are like the others hardly any is taken for
// slow, whatever the requests are like.
func TestPaces(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for name, draw := range map[string]func() float64{
		"alike":     func() float64 { return 0.2 },
		"lognormal": func() float64 { return 0.2 * math.Exp(r.NormFloat64()) },
		"two kinds": func() float64 { return []float64{0.02, 0.02, 0.02, 2}[r.IntN(4)] },
		"heavy":     func() float64 { return 0.01 * math.Pow(r.Float64(), -1/1.2) },
	} {
		took := func(times float64) time.Duration { return time.Duration(times * draw() * float64(time.Second)) }
		slow, found := 0, 0
		for range 2000 {
			var all, one, bad scaler.Pace
			for range 200 {
				all.Add(took(1), scaler.KeepAll(10))
			}
			for range 30 {
				one.Add(took(1), scaler.KeepOwn)
				if one.SlowerThan(&all) {
					slow++
					break
				}
			}
			for range 20 {
				bad.Add(took(5), scaler.KeepOwn)
			}
			if bad.SlowerThan(&all) {
				found++
			}
		}
		require.LessOrEqual(t, slow, 20, "%s: one in a hundred of thirty looks", name)
		if name != "two kinds" && name != "heavy" {
			require.Greater(t, found, 1900, name)
		}
		t.Log(name, slow, found)
	}
}
