package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
)

// A model collects the changes that simulate's flags make to Lambda, the app, its clients and the guards.
type model struct {
	changes []func(*simulate.Settings)
	outage  string            // the flag that set the outage; empty: none did yet
	given   map[string]string // the last text of each flag
}

// check refuses flags that do nothing, or exclude each other.
func (m *model) check() error {
	for _, pair := range [][2]string{{"slow-times", "slow"}, {"leave", "patience"}, {"patience", "leave"}, {"cores", "cpu"}} {
		_, given := m.given[pair[0]]
		if _, other := m.given[pair[1]]; given && !other {
			return usagef("--%s needs --%s", pair[0], pair[1])
		}
	}
	if _, computes := m.given["cpu"]; computes && m.given["works-on"] == "yes" {
		return usagef("--works-on and --cpu exclude each other: of apps that compute the model does not know what they do when a client has left")
	}
	return nil
}

func (m *model) apply(s *simulate.Settings) {
	for _, change := range m.changes {
		change(s)
	}
}

// add defines a flag that is read by parse.
func add[T any](m *model, flags *pflag.FlagSet, name, usage string, parse func(string) (T, error), set func(*simulate.Settings, T)) {
	flags.Func(name, usage, func(text string) error {
		v, err := parse(text)
		if err == nil {
			if m.given == nil {
				m.given = map[string]string{}
			}
			m.given[name] = text
			m.changes = append(m.changes, func(s *simulate.Settings) { set(s, v) })
		}
		return err
	})
}

// define adds the flags.
func (m *model) define(flags *pflag.FlagSet) {
	m.defineLambda(flags)
	m.defineApp(flags)
	add(m, flags, "preference", "`PREFERENCE` of the policy: cost, balanced (default) or latency", preference, func(s *simulate.Settings, v scaler.Preference) { s.Pool.Scaling.Preference = v })
	add(m, flags, "max", "`N` instances at most, default 100, or twice what the workload fills at its peak if that is more", positive, func(s *simulate.Settings, v int) { s.Pool.Scaling.Max, s.Fixed = v, true })
	add(m, flags, "queue-limit", "`N` requests may wait, default all", whole, func(s *simulate.Settings, v int) { s.Pool.QueueLimit = v })
	add(m, flags, "queue-timeout", "how long a request may wait, as a `TIME`, default 30s", span, func(s *simulate.Settings, v time.Duration) { s.Pool.QueueTimeout = v })
	add(m, flags, "linger", "how long an instance is kept after its last answer, as scaling.linger, a `TIME`, default 0s", span, func(s *simulate.Settings, v time.Duration) { s.Pool.Linger = v })
	m.addOutage(flags, "envoy-outage", "when Envoy fails and for how long: `TIME+TIME`, for example 60s+20s", outage(simulate.Envoy))
	m.addOutage(flags, "control-outage", "when the control plane fails and for how long: `TIME+TIME`", outage(simulate.ControlPlane))
	m.addOutage(flags, "environments-lost", "the `TIME` when all environments are lost", lostAt)
}

// addOutage defines a flag that says what fails. A simulation has one outage.
func (m *model) addOutage(flags *pflag.FlagSet, name, usage string, parse func(string) (simulate.Outage, error)) {
	once := func(text string) (simulate.Outage, error) {
		if m.outage != "" && m.outage != name {
			return simulate.Outage{}, fmt.Errorf("a simulation has one outage, and --%s has set it", m.outage)
		}
		m.outage = name
		return parse(text)
	}
	add(m, flags, name, usage, once, func(s *simulate.Settings, o simulate.Outage) { s.Outage = o })
}

func (m *model) defineLambda(flags *pflag.FlagSet) {
	add(m, flags, "memory", "`MB` of memory of an instance, default 1769", memory, func(s *simulate.Settings, v int) { s.Lambda.MemoryMB = v })
	add(m, flags, "gb-second", "`DOLLARS` of a GB-second, default that of us-east-1", atLeast(1e-9), func(s *simulate.Settings, v float64) { s.Lambda.Prices.GBSecond = v })
	add(m, flags, "fee", "`DOLLARS` of an invocation, default that of us-east-1", amount, func(s *simulate.Settings, v float64) { s.Lambda.Prices.Invocation = v })
	add(m, flags, "init", "median `TIME` of the init, instead of the preset's", span, func(s *simulate.Settings, v time.Duration) { s.Lambda.Preset.Init.Median = v })
	add(m, flags, "life", "environments end at an age in this range: `TIME-TIME`, for example 45m-60m", between, func(s *simulate.Settings, v [2]time.Duration) { s.Lambda.LifeLeast, s.Lambda.LifeMost = v[0], v[1] })
	add(m, flags, "slow", "`SHARE` of the environments that are slow", share, func(s *simulate.Settings, v float64) { s.Lambda.Slow = v })
	add(m, flags, "slow-times", "requests take `N` times longer in a slow environment, default 5", atLeast(1), func(s *simulate.Settings, v float64) { s.Lambda.SlowTimes = v })
	add(m, flags, "crashes", "mean `TIME` between crashes of an instance", span, func(s *simulate.Settings, v time.Duration) { s.Crashes = v })
	add(m, flags, "init-fails", "`SHARE` of the inits that fail", share, func(s *simulate.Settings, v float64) { s.Lambda.InitFails = v })
	add(m, flags, "dial-fails", "`SHARE` of the starts that never come up", share, func(s *simulate.Settings, v float64) { s.Lambda.DialFails = v })
}

func (m *model) defineApp(flags *pflag.FlagSet) {
	add(m, flags, "cpu", "`SHARE` of a request's time that it computes", share, func(s *simulate.Settings, v float64) { s.App.CPU = v })
	add(m, flags, "cores", "`N` cores of an instance, default 1", atLeast(0.01), func(s *simulate.Settings, v float64) { s.App.Cores = v })
	add(m, flags, "learn", "learn the concurrency, up to --concurrency: `yes` or no", yes, func(s *simulate.Settings, v bool) { s.Pool.Learn = v })
	add(m, flags, "leave", "`SHARE` of the clients that leave after --patience, whether queued or being served", share, func(s *simulate.Settings, v float64) { s.Clients.Leave = v })
	add(m, flags, "patience", "`TIME` after which clients leave; see --leave", span, func(s *simulate.Settings, v time.Duration) { s.Clients.Patience = v })
	add(m, flags, "retries", "`N` times that a client tries again after it was refused or cut off, default 0", whole, func(s *simulate.Settings, v int) { s.Clients.Retries = v })
	add(m, flags, "works-on", "the app works on for clients that left: `yes` or no", yes, func(s *simulate.Settings, v bool) {
		s.Peers.Way, s.Peers.Unwind = 0, 0
		if v {
			s.Peers.Way, s.Peers.Unwind = time.Millisecond, 200*time.Microsecond
		}
	})
}

// Parsers. Each names what it wants.

func whole(text string) (n int, err error) {
	if n, err = strconv.Atoi(text); err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

func positive(text string) (n int, err error) {
	if n, err = whole(text); err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a whole number from 1 on", text)
	}
	return n, nil
}

func memory(text string) (n int, err error) {
	if n, err = whole(text); err != nil || n < 128 || n > 10240 {
		return 0, fmt.Errorf("%q is not a whole number from 128 to 10240", text)
	}
	return n, nil
}

func amount(text string) (v float64, err error) {
	if v, err = strconv.ParseFloat(text, 64); err != nil || !(v >= 0 && v < 1e9) {
		return 0, fmt.Errorf("%q is not a number from 0 to 1e9", text)
	}
	return v, nil
}

// atLeast parses amounts that are not below least.
func atLeast(least float64) func(string) (float64, error) {
	return func(text string) (float64, error) {
		v, err := amount(text)
		if err != nil || v < least {
			return 0, fmt.Errorf("%q is not a number from %v to 1e9", text, least)
		}
		return v, nil
	}
}

func share(text string) (float64, error) {
	v, err := amount(text)
	if err != nil || v > 1 {
		return 0, fmt.Errorf("%q is not a share from 0 to 1", text)
	}
	return v, nil
}

func span(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time such as 14s", text)
	}
	return d, nil
}

func yes(text string) (bool, error) {
	if text != "yes" && text != "no" {
		return false, fmt.Errorf("%q is neither yes nor no", text)
	}
	return text == "yes", nil
}

func between(text string) (out [2]time.Duration, err error) {
	least, most, ok := strings.Cut(text, "-")
	if out[0], err = span(least); err == nil {
		out[1], err = span(most)
	}
	if !ok || err != nil || out[1] < out[0] || out[1] == 0 {
		return out, fmt.Errorf("%q is not a range such as 45m-60m", text)
	}
	return out, nil
}

func outage(of simulate.Part) func(string) (simulate.Outage, error) {
	return func(text string) (simulate.Outage, error) {
		at, long, ok := strings.Cut(text, "+")
		from, err := span(at)
		length, errLength := span(long)
		if !ok || err != nil || errLength != nil {
			return simulate.Outage{}, fmt.Errorf("%q is not an outage such as 60s+20s: when it begins, and how long it is", text)
		}
		return simulate.Outage{Of: of, At: from, For: length}, nil
	}
}

func lostAt(text string) (simulate.Outage, error) {
	at, err := span(text)
	return simulate.Outage{Of: simulate.Environments, At: at}, err
}

func preference(text string) (scaler.Preference, error) {
	switch p := scaler.Preference(text); p {
	case scaler.Cost, scaler.Balanced, scaler.Latency:
		return p, nil
	}
	return "", fmt.Errorf("%q is none of cost, balanced, latency", text)
}
