package uplink

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/golden"
)

var update = flag.Bool("update", false, "write the golden messages anew")

// builds are commits whose messages are kept, in folders of testdata. Files are added there, never changed.
var builds = []string{"922516b"}

// examples are messages with every field of this package. Those of tables are held there.
func examples() map[string]any {
	return map[string]any{
		"up.json": &Up{
			Observed: &tables.Observed{Term: 7},
			Register: []Registration{{Number: 3, Token: "token", Registration: wire.Registration{Version: wire.Version, Function: "web", Environment: "env"}}},
		},
		"down.json": &Down{
			Desired: &tables.Desired{Term: 7},
			Registered: []Registered{
				{Number: 3, Invocation: &wire.Invocation{
					Version: wire.Version, Instance: "i1", Function: "web", Token: "t", Concurrency: 10, DialTimeout: wire.Millis(20 * time.Second),
					Relays: []wire.Relay{{Address: "10.0.0.7:7443", TLS: true, CA: "PEM", Name: "relay"}},
				}},
				{Number: 4, Refusal: RefusedUnauthorized, Text: "unauthorized"},
				{Number: 5, Refusal: RefusedUnknown, Text: "unknown function"},
				{Number: 6, Refusal: RefusedTooOften, Text: "too often"},
				{Number: 7, Refusal: RefusedForNow, Text: "later"},
			},
		},
	}
}

// Relay and control plane may be of different builds: they find each other, and what an earlier one wrote is read today.
func TestTheStreamIsThatOfEarlierBuilds(t *testing.T) {
	require.Equal(t, "/lambdadispatch.Uplink/Attach", "/"+ServiceName+"/"+methodName)
	require.Equal(t, "lambda-dispatch-json", codec{}.Name())
	for name, message := range examples() {
		today, err := codec{}.Marshal(message)
		require.NoError(t, err)
		var text bytes.Buffer
		require.NoError(t, json.Indent(&text, append(today, '\n'), "", "  "))
		path := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.WriteFile(path, text.Bytes(), 0o644))
		}
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(kept), text.String(), name)
		for _, build := range builds {
			earlier, err := os.ReadFile(filepath.Join("testdata", build, name))
			require.NoError(t, err)
			require.NoError(t, golden.Survives(earlier, today, func(earlier []byte) ([]byte, error) {
				read := any(new(Up))
				if name == "down.json" {
					read = new(Down)
				}
				if err := (codec{}).Unmarshal(earlier, read); err != nil {
					return nil, err
				}
				return codec{}.Marshal(read)
			}), "%s/%s", build, name)
		}
	}
}
