package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key is one row of docs/configuration.md.
type key struct {
	path  string
	kind  string
	value reflect.Value // its default; invalid for optional blocks
}

// documentedKeys returns what the document must list: every scalar, and every block that is optional.
func documentedKeys() []key {
	cfg := Default()
	listener, function := DefaultListener(), DefaultFunction()
	listener.TLS, function.Routes, function.ServerTiming.Header = &ListenerTLS{}, []Route{{Header: &HeaderMatch{}}}, &HeaderMatch{}
	cfg.Listeners, cfg.Functions = []Listener{listener}, []Function{function}
	cfg.Accounts = []Account{{}}
	return appendKeys(nil, "", reflect.ValueOf(cfg))
}

func appendKeys(keys []key, path string, v reflect.Value) []key {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			keys = appendKeys(keys, join(path, keyOf(v.Type().Field(i))), v.Field(i))
		}
		return keys
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return append(keys, key{path, "list", v})
		}
		return appendKeys(keys, path+"[]", v.Index(0))
	case reflect.Pointer:
		return appendKeys(append(keys, key{path: path, kind: "block"}), path, v.Elem())
	}
	return append(keys, key{path, kindOf(v), v})
}

func kindOf(v reflect.Value) string {
	if v.Type() == durationType {
		return "duration"
	}
	return map[reflect.Kind]string{
		reflect.Int: "integer", reflect.Float64: "number", reflect.Bool: "boolean", reflect.String: "string",
	}[v.Kind()]
}

func lastDot(path string) int { return strings.LastIndexByte(path, '.') }

// TestDocumentListsEveryKey holds docs/configuration.md equal to the tree: keys, their order, types, defaults, and when a change takes effect.
func TestDocumentListsEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../../docs/configuration.md")
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\w+) \\| ([^|]+) \\| ([^|]+) \\| ([^|]+) \\|$").FindAllStringSubmatch(string(text), -1)

	var documented []string
	for _, row := range rows {
		documented = append(documented, row[1])
	}
	keys := documentedKeys()
	var want []string
	for _, k := range keys {
		want = append(want, k.path)
	}
	require.Equal(t, want, documented)
	for i, k := range keys {
		require.Equal(t, k.kind, rows[i][2], k.path)
		requireDefault(t, k, rows[i][3])
		require.Equal(t, string(effects[k.path]), rows[i][4], k.path)
	}
}

// requireDefault compares a cell with the default as values, so that 15m is 15m0s.
func requireDefault(t *testing.T, k key, cell string) {
	switch {
	case !k.value.IsValid():
		require.Equal(t, "none", cell, k.path)
	case cell == "required" || cell == "empty":
		require.True(t, k.value.IsZero(), "%s has the default %v", k.path, k.value)
	default:
		documented, err := parseScalar(k.value.Type(), strings.Trim(cell, "`"))
		require.NoError(t, err, k.path)
		require.Equal(t, k.value.Interface(), documented, k.path)
	}
}

// yamlBlock is one in a page, which may be indented in a list.
var yamlBlock = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")

// What pages show of a configuration has these keys and values. That of README.md and the first one of configuration.md are whole.
func TestConfigurationsInThePagesAreRead(t *testing.T) {
	for page, want := range map[string]int{
		"README.md": 1, "SECURITY.md": 1, "docs/configuration.md": 1, "docs/operating.md": 2, "lambdapeer/README.md": 1,
	} {
		text, err := os.ReadFile("../../../" + page)
		require.NoError(t, err)
		blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
		require.Len(t, blocks, want, page)
		for _, block := range blocks {
			shown := strings.ReplaceAll(strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n"), "[...]", "[]")
			cfg := Default()
			require.NoError(t, decode([]byte(shown), &cfg), "%s: %s", page, block[2])
			if strings.Contains(shown, "function_name") {
				require.NoError(t, cfg.Validate(), "%s: %s", page, block[2])
				require.Len(t, cfg.Functions, 1)
				require.Empty(t, lines(cfg.Findings()), "%s: %s", page, block[2])
			}
		}
	}
}

// What an example recommends is nothing that check finds fault with.
func TestConcurrencyThatExamplesRecommendAddsUp(t *testing.T) {
	files, err := filepath.Glob("../../../examples/*/README.md")
	require.NoError(t, err)
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile("`scaling\\.concurrency: ([0-9]+)`").FindAllStringSubmatch(string(text), -1) {
			found++
			c := two()
			c.Functions[0].Scaling.Concurrency, err = strconv.Atoi(match[1])
			require.NoError(t, err)
			require.Empty(t, c.descriptorFindings(), file)
		}
	}
	require.Greater(t, found, 4)
}

func TestTheConfigurationToStartFromAddsUp(t *testing.T) {
	cfg, err := Load("../../../deploy/controlplane.yaml", nil, nil)
	require.NoError(t, err)
	require.Len(t, cfg.Functions, 1)
	require.Empty(t, lines(cfg.Findings()))
}
