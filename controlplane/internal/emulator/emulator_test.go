package emulator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAt(t *testing.T) {
	for _, endpoint := range []string{"http://localhost:9001", "http://127.0.0.1:9001", "https://127.8.8.8", "http://[::1]:9001", "http://[::ffff:127.0.0.1]"} {
		require.True(t, At(endpoint), endpoint)
	}
	for _, endpoint := range []string{"", "https://lambda.eu-central-1.amazonaws.com", "http://10.0.0.1:9001", "http://localhost.example.com", "http://[::1"} {
		require.False(t, At(endpoint), endpoint)
	}
}
