package dispatch

import (
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/golden"
)

// A payload's old fields stay for ever: peers of earlier builds are invoked with them.
func TestThePayloadHoldsWhatEarlierOnesHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.relays = func() []wire.Relay {
			return []wire.Relay{{Address: "relay.example:8443", Name: "relay.lambda-dispatch"}}
		}
		w.acquire(t.Context())
		w.instances()
		payload, err := json.Marshal(w.invoked[0])
		require.NoError(t, err)
		for _, build := range golden.Builds {
			earlier := golden.Read(build, "registration.relay", "token", "relay.example:8443").Lines[0]
			require.NoError(t, golden.Includes(payload, earlier))
		}
	})
}
