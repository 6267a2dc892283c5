package config

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeReportsAllMistakesWithLineAndPath(t *testing.T) {
	var cfg Config
	err := decode([]byte(`
state_dir: [a]
admin: 127.0.0.1:9900
functions:
  - name: web
    queue: {timeuot: 3s, limit: ten}
    scaling: {min: 1, min: 2}
    routes: /web
    disabled: yes
  - timeouts: {idle: 30}
lisseners: []
`), &cfg)
	require.EqualError(t, err, `state_dir: line 2: must be a string
admin: line 3: must be a mapping of keys
functions[0].queue.timeuot: line 6: unknown key, did you mean timeout?
functions[0].queue.limit: line 6: must be an integer, got "ten"
functions[0].scaling.min: line 7: given twice
functions[0].routes: line 8: must be a list
functions[0].disabled: line 9: must be true or false, got "yes"
functions[1].timeouts.idle: line 10: must be a duration such as 30s or 1m30s, got "30"
lisseners: line 11: unknown key, did you mean listeners?`)
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a: b: c":                   "mapping values are not allowed",
		"admin:\n\taddress: x\n":    "line 2: a tab indents it; YAML wants blanks",
		"[]":                        "(top level): line 1: must be a mapping of keys",
		"text":                      "(top level): line 1: must be a mapping of keys",
		"admin: {}\n---\nlog: {}\n": "line 2: a second document; only one is read",
		"admin: {}\n---\n{\n":       "yaml:",
		"? [a]\n: b":                "unknown key",
		"admin: &a {<<: *a}":        "admin.<<: line 1: unknown key",
		"admin: &a {address: *a}":   "admin.address: line 1: must be a string",
	} {
		cfg := Default()
		require.ErrorContains(t, decode([]byte(text), &cfg), want, text)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load("nowhere.yaml", nil, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// FuzzDecode holds that no text makes decode or Validate panic, and that what decodes twice is equal.
func FuzzDecode(f *testing.F) {
	example, err := os.ReadFile("example.yaml")
	require.NoError(f, err)
	f.Add(example)
	for _, seed := range []string{
		"", "admin: &a {address: *a}", "functions: [{}, ~, 3]", "relay: {tunnel_wait: -1s}",
		"functions: [{name: A, scaling: {starts_per_second: .nan}}]", "listeners: [{tls: {}}]", "\x00", "a: !!binary x",
		"functions: [{routes: [{host: '*.', path: '//', header: {name: ' '}}]}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first, second := Default(), Default()
		if decode(text, &first) != nil {
			return
		}
		_ = first.Validate()
		require.NoError(t, decode(text, &second))
		require.Equal(t, second, first)
	})
}

// FuzzOverride holds that no variable and no flag makes override panic.
func FuzzOverride(f *testing.F) {
	f.Add("ADMIN_ADDRESS=:0", "log.level=warn")
	f.Add("", "=")
	f.Fuzz(func(_ *testing.T, variable, flag string) {
		cfg := Default()
		_ = override(&cfg, []string{EnvPrefix + variable}, []string{flag})
	})
}
