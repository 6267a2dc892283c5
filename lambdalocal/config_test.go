package lambdalocal

import (
	"os"
	"path/filepath"
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
	f.Command, f.Extensions, f.Env, f.Dir = []string{"./bootstrap"}, [][]string{}, map[string]string{}, "."
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
}

func TestUnknownKeysFail(t *testing.T) {
	for text, want := range map[string]string{
		"adress: x":                           "adress",
		"functions: [{name: a, comand: [x]}]": `unknown key "comand"`,
		"functions: [{name: a, idle_expiry: {minimum: 1s}}]": `unknown key "minimum"`,
		"functions: [{name: a, timeout: soon}]":              "soon",
		"faults: [{kind: throttle, reasons: x}]":             "reasons",
		"links: [{from: x}]":                                 "from",
	} {
		_, err := load(t, text)
		require.ErrorContains(t, err, want)
	}
}

func TestValidateReportsAllMistakes(t *testing.T) {
	bad := DefaultFunction("b d")
	bad.Timeout, bad.MemoryMB, bad.MaxConcurrency, bad.InitTimeout = time.Hour, 1, 0, 0
	bad.Extensions, bad.Dir = [][]string{{"a/x"}, {"b/x"}, {}}, "/does/not/exist"
	bad.ColdStartDelay, bad.IdleExpiry = Span{Min: 2, Max: 1}, Fixed(0)
	err := Config{
		Address: "nowhere", Functions: []Function{bad, bad},
		Links:  []Link{{Listen: "a:1", To: "nowhere"}, {Listen: "a:1", To: "b:1"}},
		Faults: []Fault{{Kind: "flood"}, {Kind: FaultLinkSilence, Link: "a:2", Function: "other"}},
	}.Validate()
	for _, want := range []string{
		`address: must be host:port, got "nowhere"`,
		"region: must be", "account_id: must be",
		"functions[0].name: must be", "functions[1].name: \"b d\" is taken",
		"functions[0].command: must be", `functions[0].extensions[1]: two extensions are named "x"`,
		"functions[0].extensions[2]: must be", "functions[0].dir: must be",
		"functions[0].timeout: must be above 0s and at most 15m0s, got 1h0m0s",
		"functions[0].init_timeout: must be", "functions[0].memory_mb: must be", "functions[0].max_concurrency: must be",
		"functions[0].cold_start_delay: max must be", "functions[0].idle_expiry: must be",
		`links[0].to: must be host:port, got "nowhere"`, `links[1].listen: "a:1" is taken`,
		"faults[0].kind: must be one of access_denied,", `faults[1].link: must be the listen address of a link, or * for all, got "a:2"`,
		`faults[1].function: must be a function, or * for all, got "other"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, Default().Validate(), "functions: must name at least one function")
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
