package golden_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/golden"
)

const (
	token = "the-token"
	relay = "relay.example:8443"
)

// What earlier builds wrote decodes today, and says nothing of features.
func TestEarlierBuildsAreUnderstood(t *testing.T) {
	for _, build := range golden.Builds {
		for _, name := range []string{"scale_in.peer", "scale_in.relay", "shutdown.peer", "shutdown.relay", "another_version.relay"} {
			for _, line := range golden.Read(build, name, token, relay).Lines {
				m, err := wire.DecodeMessage(line)
				require.NoError(t, err, "%s/%s: %s", build, name, line)
				require.NotEmpty(t, m.Kind)
			}
		}
		said := golden.Read(build, "registration.peer", token, relay)
		registration, err := wire.DecodeRegistration(said.Lines[0])
		require.NoError(t, err)
		require.Equal(t, "web", registration.Function)

		answer := golden.Read(build, "registration.relay", token, relay)
		payload, err := wire.DecodeInvocation(answer.Lines[0])
		require.NoError(t, err)
		require.Equal(t, golden.Instance, payload.Instance)
		require.Equal(t, token, payload.Token)
		require.Equal(t, relay, payload.Relays[0].Address)
	}
}

func TestIncludesNamesWhatIsGone(t *testing.T) {
	earlier := []byte(`{"a":1,"b":[{"c":"x"}]}`)
	require.NoError(t, golden.Includes([]byte(`{"a":2,"b":[{"c":"y","d":1},2],"e":true}`), earlier))
	for today, want := range map[string]string{
		`{"b":[{"c":"x"}]}`:       ".a: is <nil>, was float64",
		`{"a":"1","b":[]}`:        ".a: is string, was float64",
		`{"a":1,"b":[]}`:          ".b[0]: is gone",
		`{"a":1,"b":[{"d":"x"}]}`: ".b[0].c: is <nil>, was string",
	} {
		require.EqualError(t, golden.Includes([]byte(today), earlier), want)
	}
}
