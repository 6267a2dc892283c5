package lambda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Spread is a lognormal distribution of times. Real start times are skewed like that.
type Spread struct {
	Median time.Duration
	Sigma  float64 // deviation of the logarithm; 0: always Median
}

// Mean returns the mean time.
func (s Spread) Mean() time.Duration {
	return time.Duration(float64(s.Median) * math.Exp(s.Sigma*s.Sigma/2))
}

func (s Spread) draw(r *rand.Rand) time.Duration {
	return time.Duration(float64(s.Median) * math.Exp(s.Sigma*r.NormFloat64()))
}

// A Preset says how long the steps of a start take for one kind of function.
type Preset struct {
	Name   string
	Source string // where the numbers are from
	Place  Spread // cold: from Invoke until init begins; not billed
	Init   Spread // cold: runtime and app come up; billed
	Thaw   Spread // warm: from Invoke until the handler runs; not billed
	Dial   Spread // from the handler's begin until the pool may lease its slots; billed
	Finish Spread // from being told to finish until the invocation's answer; billed
}

const (
	warmSource = "warm: Wang et al., Peeking Behind the Curtains of Serverless Platforms, USENIX ATC 2018: median of a " +
		"warm start 25 ms; dial and finish: three round trips of TLS in one region, guessed"
	mikhail = "cold: mikhail.io/serverless/coldstarts/aws, "
)

// warm fills in the steps that all presets share: 25 ms in the median from Invoke to ready.
func warm(p Preset) Preset {
	p.Source += "; " + warmSource
	p.Thaw = Spread{14 * time.Millisecond, 0.4}
	p.Dial = Spread{10 * time.Millisecond, 0.3}
	p.Finish = Spread{8 * time.Millisecond, 0.3}
	return p
}

// Presets are the kinds of functions that a simulation may choose from. The first is the default.
func Presets() []Preset {
	return []Preset{
		warm(Preset{
			Name: "image", Source: mikhail + "container images: 0.6 to 1.4 s",
			Place: Spread{200 * time.Millisecond, 0.3}, Init: Spread{750 * time.Millisecond, 0.35},
		}),
		warm(Preset{
			Name: "zip", Source: mikhail + "JavaScript, Python, Go: mostly within 400 ms, nearly always within 700 ms",
			Place: Spread{100 * time.Millisecond, 0.3}, Init: Spread{200 * time.Millisecond, 0.4},
		}),
		warm(Preset{
			Name: "jvm", Source: "cold: hivebook.wiki/wiki/aws-lambda-cold-starts, Java without SnapStart: 1 to 3 s",
			Place: Spread{200 * time.Millisecond, 0.3}, Init: Spread{1800 * time.Millisecond, 0.35},
		}),
	}
}

// PresetByName finds a preset.
func PresetByName(name string) (Preset, error) {
	presets := Presets()
	k := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name })
	if k >= 0 {
		return presets[k], nil
	}
	var names []string
	for _, p := range presets {
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("preset %q: unknown, there are %s", name, strings.Join(names, ", "))
}
