package lambdalocal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheExampleIsTheDefaults(t *testing.T) {
	got, err := Load("example.yaml")
	require.NoError(t, err)
	require.NoError(t, got.Validate())
	want := Default()
	f := DefaultFunction("web")
	f.Command, f.Extensions, f.Processes, f.Env, f.Dir = []string{"./bootstrap"}, []Extension{}, [][]string{}, map[string]string{}, "."
	f.Versions, f.Aliases, f.Layers = []Version{}, []Alias{}, []string{}
	want.Functions, want.Links, want.Faults = []Function{f}, []Link{}, []Fault{}
	require.Equal(t, want, got)
}

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lambdalocal.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Load(path)
}

func TestWhatIsLeftOutIsTheDefault(t *testing.T) {
	cfg, err := load(t, "functions: [{name: a, command: [x], dir: sub, cold_start_delay: {min: 1s, max: 2s}, idle_expiry: 1h}]")
	require.NoError(t, err)
	f := cfg.Functions[0]
	require.Equal(t, 3*time.Second, f.Timeout)
	require.Equal(t, "sub", filepath.Base(f.Dir))
	require.True(t, filepath.IsAbs(f.Dir))
	require.Equal(t, Span{Min: time.Second, Max: 2 * time.Second}, f.ColdStartDelay)
	require.Equal(t, Fixed(time.Hour), f.IdleExpiry)
	require.Equal(t, DefaultFunction("").Events, f.Events)
	require.Nil(t, f.ReservedConcurrency)

	cfg, err = load(t, "prices: {gb_second_arm: 1}\nfunctions: [{name: a, command: [x], reserved_concurrency: 0, events: {max_retries: 0}}]")
	require.NoError(t, err)
	require.Zero(t, *cfg.Functions[0].ReservedConcurrency)
	require.Equal(t, Events{MaxAge: 6 * time.Hour, RetryDelay: time.Minute, ThrottleDelay: time.Second}, cfg.Functions[0].Events)
	prices := Default().Prices
	prices.GBSecondARM = 1
	require.Equal(t, prices, cfg.Prices)
	cfg, err = load(t, "functions: [{name: a, command: [x], memory_mb: 2048, managed: {}}, {name: b, command: [x], memory_mb: 4096, managed: {gib_per_vcpu: 4}}]")
	require.NoError(t, err)
	require.NoError(t, cfg.Validate())
	require.Equal(t, DefaultManaged(), *cfg.Functions[0].Managed)
	require.Zero(t, cfg.Functions[1].Managed.MaxConcurrency, "of the vCPUs")
}

func TestLoadReportsAllMistakes(t *testing.T) {
	_, err := load(t, `
adress: x
prices: {arm: 1, gb_second_x86: cheap}
direct: 127.0.0.1:9002
fault_seed: -1
functions:
- name: a
  comand: [x]
  timeout: 3
  idle_expiry: {minimum: 1s, max: [2s]}
  cold_start_delay: soon
  events: {retries: 1}
  versions: [{number: 1, env: [A]}, 2]
  enforce_memory: 7
  reserved_concurrency: few
- command: [[x]]
  extensions: ./x
  env: {A: 1, B: {}, A: 2}
links: [{from: x}]
faults: [{kind: throttle, reasons: x, for: 10}]
`)
	require.Error(t, err)
	_, text, _ := strings.Cut(err.Error(), "lambdalocal.yaml: ")
	require.Equal(t, `adress: line 2: unknown key, did you mean address?
prices.arm: line 3: unknown key
prices.gb_second_x86: line 3: must be a number, got "cheap"
direct: line 4: must be a mapping of keys
fault_seed: line 5: must be a whole number, got "-1"
functions[0].comand: line 8: unknown key, did you mean command?
functions[0].timeout: line 9: must be a duration such as 1.5s, got "3"
functions[0].idle_expiry.minimum: line 10: unknown key
functions[0].idle_expiry.max: line 10: must be a duration such as 1.5s
functions[0].cold_start_delay: line 11: must be a duration such as 1.5s, got "soon"
functions[0].events.retries: line 12: unknown key
functions[0].versions[0].number: line 13: unknown key, did you mean name?
functions[0].versions[0].env: line 13: must be a mapping of keys
functions[0].versions[1]: line 13: must be a mapping of keys
functions[0].enforce_memory: line 14: must be true or false, got "7"
functions[0].reserved_concurrency: line 15: must be a whole number, got "few"
functions[1].command[0]: line 16: must be text
functions[1].extensions: line 17: must be a list
functions[1].env.B: line 18: must be text
functions[1].env.A: line 18: given twice
links[0].from: line 19: unknown key
faults[0].reasons: line 20: unknown key, did you mean reason?
faults[0].for: line 20: must be a duration such as 1.5s, got "10"`, text)

	_, err = load(t, "[]")
	require.ErrorContains(t, err, "config: line 1: must be a mapping of keys")
	_, err = load(t, "functions: [")
	require.ErrorContains(t, err, "yaml: line 1:")
}

func TestAnEmptyFileAndKeysWithoutValuesAreTheDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing", "null", "address:\nprices:\nfunctions:\n"} {
		cfg, err := load(t, text)
		require.NoError(t, err, text)
		require.Equal(t, Default(), cfg, text)
	}
	cfg, err := load(t, "functions: [{name: a, command: &c [x], timeout: , idle_expiry: , reserved_concurrency: , env: {A: , B: 1}, versions: [{command: *c}]}]")
	require.NoError(t, err)
	want := DefaultFunction("a")
	want.Command, want.Env, want.Dir = []string{"x"}, map[string]string{"A": "", "B": "1"}, cfg.Functions[0].Dir
	want.Versions = []Version{{Command: []string{"x"}}}
	require.Equal(t, []Function{want}, cfg.Functions)
}

func TestValidateReportsAllMistakes(t *testing.T) {
	bad := DefaultFunction("b d")
	bad.Timeout, bad.MemoryMB, bad.ReservedConcurrency, bad.InitTimeout = time.Hour, 1, new(-1), 0
	bad.Architecture, bad.Events = "mips", Events{MaxAge: time.Hour * 7, MaxRetries: 3}
	bad.Versions = []Version{{Name: "one"}, {Name: "2", ProvisionedConcurrency: -1}, {Name: "2"}}
	bad.Aliases = []Alias{{Name: "7", Version: "2"}, {Name: "live", Version: "3", Weights: map[string]float64{"2": 1.5, "4": 0}}, {Name: "live", Version: "$LATEST", Weights: map[string]float64{"2": 1}}}
	bad.Extensions, bad.Dir = []Extension{Program("a/x"), Program("b/x"), {}}, "/does/not/exist"
	bad.ColdStartDelay, bad.IdleExpiry = Span{Min: 2, Max: 1}, Fixed(0)
	all := Config{
		Address: "nowhere", Direct: Direct{Address: "x"}, Prices: Prices{GBSecondARM: -1, ManagedFee: -1}, Functions: []Function{bad, bad},
		Links:  []Link{{Listen: "a:1", To: "nowhere"}, {Listen: "a:1", To: "b:1"}, {}},
		Faults: []Fault{{Kind: "flood"}, {Kind: FaultLinkSilence, Link: "a:2", Function: "other"}},
	}
	err := all.Validate()
	for range 20 {
		require.EqualError(t, all.Validate(), err.Error(), "in the same order")
	}
	for _, want := range []string{
		`address: must be host:port, got "nowhere"`,
		"region: must be", "account_id: must be",
		"functions[0].name: must be", "functions[1].name: \"b d\" is taken",
		"functions[0].command: must be", `functions[0].extensions[1]: two extensions are named "x"`,
		"functions[0].extensions[2]: must be", "functions[0].dir: must be",
		"functions[0].timeout: must be above 0s and at most 15m0s, got 1h0m0s",
		"functions[0].init_timeout: must be", "functions[0].memory_mb: must be",
		"functions[0].reserved_concurrency: must not", "account_concurrency: must be positive", "scaling_rate: must be",
		`direct.address: must be host:port, or empty, got "x"`, "prices.gb_second_arm: must not be negative, got -1",
		`functions[0].architecture: must be x86_64 or arm64, got "mips"`,
		"functions[0].events.max_age: must be above 0s and at most 6h0m0s, got 7h0m0s", "functions[0].events.max_retries: must be 0 to 2, got 3",
		"functions[0].events.retry_delay: must be", "functions[0].events.throttle_delay: must be",
		`functions[0].versions[0].name: must be a positive number, got "one"`, `functions[0].versions[2].name: "2" is taken`,
		"functions[0].versions[1].provisioned_concurrency: must not",
		"functions[0].aliases[0].name: must be", `functions[0].aliases[1].version: no version is named "3"`,
		"functions[0].aliases[1].weights[2]: must be 0 to 1", "functions[0].aliases[1].weights[4]: must be another",
		"functions[0].aliases[1].weights: must sum to 1 at most, got 1.5", `functions[0].aliases[2].name: "live" is taken`,
		"functions[0].aliases[2].weights: must be empty: the alias stands for $LATEST",
		"functions[0].cold_start_delay: max must be", "functions[0].idle_expiry: must be",
		`links[0].to: must be host:port, got "nowhere"`, `links[1].listen: "a:1" is taken`,
		"faults[0].kind: must be one of access_denied,", `faults[1].link: must be the listen address of a link, or * for all, got "a:2"`,
		`faults[1].function: must be a function, or * for all, got "other"`,
	} {
		require.ErrorContains(t, err, want)
	}
	managed := Default()
	managed.Functions = []Function{DefaultFunction("a")}
	f := &managed.Functions[0]
	f.Command, f.MemoryMB, f.ReservedConcurrency = []string{"x"}, 1024, new(1)
	f.Managed = &Managed{MaxConcurrency: 65, MinEnvironments: -1, GiBPerVCPU: 3}
	f.Versions = []Version{{Name: "1", ProvisionedConcurrency: 1}}
	for _, want := range []string{
		"functions[0].memory_mb: must be 2048 to 32768 on Managed Instances, got 1024", "functions[0].managed.max_concurrency: must be 1 to 64, 64 for each vCPU, or 0 for all of these, got 65",
		"functions[0].managed.gib_per_vcpu: must be 2, 4 or 8, got 3", "functions[0].managed.min_environments: must not",
		"functions[0].managed.max_environments: must be min_environments to 15000", "functions[0].managed.scale_interval: must be positive",
		"functions[0].managed: has no reserved_concurrency", "functions[0].managed: has no provisioned_concurrency",
	} {
		require.ErrorContains(t, managed.Validate(), want)
	}
	f.MemoryMB, f.ReservedConcurrency, f.Versions, f.Managed = DefaultFunction("a").MemoryMB, nil, nil, new(DefaultManaged())
	require.EqualError(t, managed.Validate(), "functions[0].memory_mb: must be 2048 to 32768 on Managed Instances, got 128", "the one mistake")
	f.MemoryMB, f.Timeout = 2048, 90*time.Minute
	require.NoError(t, managed.Validate(), "events may take that long")
	f.Timeout++
	require.ErrorContains(t, managed.Validate(), "functions[0].timeout: must be above 0s and at most 1h30m0s, got 1h30m0.000000001s")
	greedy := Default()
	greedy.Functions = []Function{DefaultFunction("a")}
	greedy.Functions[0].Command, greedy.Functions[0].ReservedConcurrency = []string{"x"}, new(901)
	require.ErrorContains(t, greedy.Validate(), "account_concurrency: reservations (901) must leave 100 of it, got 1000")
	require.ErrorContains(t, Default().Validate(), "functions: must name at least one function")
}

func TestSpansAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]Span{
		"1s": Fixed(time.Second), "{min: 1s, max: 2s}": {Min: time.Second, Max: 2 * time.Second},
		"{p50: 300ms, p99: 2s}": {P50: 300 * time.Millisecond, P99: 2 * time.Second},
	} {
		cfg, err := load(t, "functions: [{name: a, command: [x], cold_start_delay: "+text+", idle_expiry: "+text+"}]")
		require.NoError(t, err)
		require.NoError(t, cfg.Validate())
		require.Equal(t, want, cfg.Functions[0].ColdStartDelay)
		require.Equal(t, want, cfg.Functions[0].IdleExpiry, "it replaces the default range")
	}
	for text, want := range map[string]string{
		"{p50: 1s}": "p50 and p99 go together", "{p50: 2s, p99: 1s}": "p50 and p99 go together", "{max: 1s, p50: 1s, p99: 1s}": "not both",
	} {
		cfg, err := load(t, "functions: [{name: a, command: [x], cold_start_delay: "+text+"}]")
		require.NoError(t, err)
		require.ErrorContains(t, cfg.Validate(), want)
	}
}

func TestTheDistributionHasTheQuantilesOfItsName(t *testing.T) {
	s := Span{P50: 300 * time.Millisecond, P99: 2 * time.Second}
	require.Equal(t, s.P50, s.lognormal(0))
	require.InDelta(t, s.P99, s.lognormal(z99), float64(time.Microsecond))
	require.Less(t, s.lognormal(-5), s.P50)
	const n = 10_000
	below := 0
	for range n {
		d := s.pick()
		require.Positive(t, d)
		if d < s.P50 {
			below++
		}
	}
	require.InDelta(t, n/2, below, 400, "eight standard deviations")
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("example.yaml")
	require.NoError(f, err)
	f.Add(example)
	f.Add([]byte("functions: [{idle_expiry: {min: 1s}}]"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		if cfg, err := parse(text); err == nil {
			_ = cfg.Validate()
		}
	})
}
