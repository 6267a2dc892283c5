package invokeapi

import (
	"bytes"
	"testing"

	"github.com/aws/smithy-go/eventstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheSDKDecodesEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 1, 10_000).Draw(t, "payload")
		text := encodeEvent("PayloadChunk", "application/octet-stream", payload)
		rest := bytes.NewReader(append(text, text...))
		for range 2 {
			m, err := eventstream.NewDecoder().Decode(rest, nil)
			require.NoError(t, err)
			require.Equal(t, payload, m.Payload)
			require.Equal(t, "event", m.Headers.Get(":message-type").String())
			require.Equal(t, "PayloadChunk", m.Headers.Get(":event-type").String())
		}
		require.Zero(t, rest.Len())
	})
}
