package faults

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func newSet(seed uint64) *Set { return NewSet(seed, func() {}) }

func TestTheFirstRefusalCountsAndSparesThoseBehindIt(t *testing.T) {
	s := newSet(1)
	s.Replace(
		Fault{Kind: SlowAnswer, Delay: time.Second, Times: 2},
		Fault{Kind: SlowAnswer, Delay: time.Hour},
		Fault{Kind: Throttle, Function: "web", Times: 1, Reason: "CallerRateLimitExceeded"},
		Fault{Kind: Reset, Function: Everything, Times: 1},
		Fault{Kind: Kill, Function: "web"},
	)
	first := s.Arrival("web")
	require.Equal(t, "CallerRateLimitExceeded", first.Refusal.Reason)
	require.Equal(t, time.Second, first.Answer)
	require.False(t, first.Reset)
	second := s.Arrival("web")
	require.Nil(t, second.Refusal)
	require.True(t, second.Reset)
	require.Equal(t, Arrival{Answer: time.Hour}, s.Arrival("web"), "the one before is used up")
	require.Equal(t, Arrival{Answer: time.Hour}, s.Arrival("other"))
	kill, _ := s.Serving("other")
	require.False(t, kill)
	var struck []int
	for _, f := range s.List() {
		struck = append(struck, f.Struck)
	}
	require.Equal(t, []int{2, 2, 1, 1, 0}, struck)
}

func TestColdStarts(t *testing.T) {
	s := newSet(1)
	require.Equal(t, time.Second, s.ColdStart("web", time.Second))
	s.Replace(Fault{Kind: ColdStart}, Fault{Kind: InitFailure, Every: 3})
	require.Zero(t, s.ColdStart("web", time.Second))
	var fails []bool
	for range 6 {
		fails = append(fails, s.InitFails("web"))
	}
	require.Equal(t, []bool{false, false, true, false, false, true}, fails)
}

func TestFaultsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		s := NewSet(1, func() { changes++ })
		id := s.Add(Fault{Kind: LinkSilence, For: time.Second})
		s.Add(Fault{Kind: LinkLatency, Delay: time.Millisecond})
		require.Len(t, s.Links(), 2)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []Fault{{Kind: LinkLatency, Delay: time.Millisecond}}, s.Links())
		require.Equal(t, 3, changes)
		require.False(t, s.Remove(id))
		s.Add(Fault{Kind: Kill, For: time.Minute})
		s.Close() // stops the timer, or the bubble would not end
		require.Empty(t, s.List())
	})
}

// Whatever the limits, a fault strikes as often as they allow and no more, and the same seed decides the same.
func TestLimitsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Fault{
			Kind: Kill, Times: rapid.IntRange(0, 5).Draw(t, "times"), Every: rapid.IntRange(0, 4).Draw(t, "every"),
			Probability: rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "probability"),
		}
		chances := rapid.IntRange(0, 40).Draw(t, "chances")
		seed := rapid.Uint64().Draw(t, "seed")
		first, second := strikes(seed, f, chances), strikes(seed, f, chances)
		require.Equal(t, first, second)
		count := 0
		for n, struck := range first {
			if struck {
				count++
				require.Zero(t, (n+1)%max(f.Every, 1))
			}
		}
		if f.Times > 0 {
			require.LessOrEqual(t, count, f.Times)
		}
		if f.Probability != 0.5 {
			most := chances / max(f.Every, 1)
			if f.Times > 0 {
				most = min(most, f.Times)
			}
			require.Equal(t, most, count)
		}
	})
}

func strikes(seed uint64, f Fault, chances int) []bool {
	s := newSet(seed)
	s.Add(f)
	var all []bool
	for range chances {
		struck, _ := s.Serving("web")
		all = append(all, struck)
	}
	return all
}

func TestValidateReportsAllMistakes(t *testing.T) {
	known := Known{Functions: []string{"web"}, Links: []string{"a:1"}}
	for kind := range kinds {
		f := Fault{Kind: kind, Function: "web"}
		if kinds[kind].delay == required {
			f.Delay = time.Second
		}
		require.Empty(t, f.Validate("f.", known), kind)
	}
	for want, f := range map[string]Fault{
		"f.kind: must be one of access_denied, ":                              {Kind: "flood"},
		`f.function: must be a function, or * for all, got "x"`:               {Kind: Kill, Function: "x"},
		"f.for: must not be negative":                                         {Kind: Kill, For: -1},
		"f.times: must not be negative":                                       {Kind: Kill, Times: -1},
		"f.every: must not be negative":                                       {Kind: Kill, Every: -1},
		"f.probability: must be above 0 and at most 1, or left out, got 1.5":  {Kind: Kill, Probability: 1.5},
		"f.delay: must be positive, got 0s":                                   {Kind: SlowAnswer},
		"f.delay: must not be negative":                                       {Kind: Kill, Delay: -1},
		"f.delay: means nothing to throttle":                                  {Kind: Throttle, Delay: 1},
		"f.reason: must be one of ConcurrentInvocationLimitExceeded, ":        {Kind: Throttle, Reason: "x"},
		"f.reason: means nothing to kill":                                     {Kind: Kill, Reason: reasons[0]},
		"f.message: means nothing to kill":                                    {Kind: Kill, Message: "x"},
		"f.link: means nothing to kill":                                       {Kind: Kill, Link: "a:1"},
		"f.environment: means nothing to kill":                                {Kind: Kill, Environment: "x"},
		`f.link: must be the listen address of a link, or * for all, got "b"`: {Kind: LinkSilence, Link: "b"},
		"f.times: means nothing to link_refuse":                               {Kind: LinkRefuse, Times: 1},
		"f.every: means nothing to link_refuse":                               {Kind: LinkRefuse, Every: 1},
		"f.probability: means nothing to link_refuse":                         {Kind: LinkRefuse, Probability: 1},
		"f.for: means nothing to link_reset, which is over at once":           {Kind: LinkReset, For: 1},
	} {
		require.ErrorContains(t, errors.Join(f.Validate("f.", known)...), want)
	}
	require.ErrorContains(t, errors.Join(Fault{Kind: LinkReset}.Validate("f.", Known{})...), "needs a link")
	require.Len(t, Fault{Kind: Kill, Times: -1, Every: -1, Function: "x"}.Validate("f.", known), 3)
}

func TestParseReportsAllMistakes(t *testing.T) {
	known := Known{Functions: []string{"web"}}
	f, wrong := Parse([]byte(`{"kind": "slow_answer", "function": null, "delay": "1.5s", "for": "", "probability": 0.5}`), "", known)
	require.Empty(t, wrong)
	require.Equal(t, Fault{Kind: SlowAnswer, Delay: 1500 * time.Millisecond, Probability: 0.5}, f)

	_, wrong = Parse([]byte(`{"kind": "slow_answer", "function": "wbe", "delay": "10", "for": 10, "times": "1", "probabilty": 1, "message": []}`), "[2].", known)
	var texts []string
	for _, err := range wrong {
		texts = append(texts, err.Error())
	}
	require.Equal(t, []string{
		`[2].delay: must be a duration such as "1.5s", got "10"`,
		`[2].for: must be a duration such as "1.5s", got 10`,
		`[2].message: must be text, got []`,
		`[2].probabilty: unknown key, did you mean probability?`,
		`[2].times: must be a whole number, got "1"`,
		`[2].function: must be a function, or * for all, got "wbe"`,
	}, texts)

	for _, text := range []string{"", "null", "1", "[]", "{"} {
		_, wrong = Parse([]byte(text), "", known)
		require.Len(t, wrong, 1, text)
		require.EqualError(t, wrong[0], "fault: must be an object")
		_, wrong = Parse([]byte(text), "[0].", known)
		require.EqualError(t, wrong[0], "[0]: must be an object")
	}
}

func TestJSONBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64().Draw(t, "ns")) })
		f := Fault{
			Kind: Kind(rapid.StringMatching(`[a-z_]*`).Draw(t, "kind")), Function: rapid.StringMatching(`[a-z]*`).Draw(t, "function"),
			Delay: durations.Draw(t, "delay"), For: durations.Draw(t, "for"), Every: rapid.Int().Draw(t, "every"),
		}
		text, err := json.Marshal(f)
		require.NoError(t, err)
		var back Fault
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, f, back)
	})
}

func FuzzUnmarshalJSON(f *testing.F) {
	f.Add([]byte(`{"kind": "kill", "function": "web", "delay": "1s", "for": "1m", "times": 1}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		var fault Fault
		if json.Unmarshal(text, &fault) == nil {
			_ = fault.Validate("f.", Known{})
		}
	})
}
