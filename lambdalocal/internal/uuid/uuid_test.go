package uuid_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

func TestUUIDs(t *testing.T) {
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, uuid.New())
	require.NotEqual(t, uuid.New(), uuid.New())
	require.True(t, uuid.Valid(uuid.New()))
	for _, text := range []string{"", "x", uuid.New() + "0", uuid.New()[1:]} {
		require.False(t, uuid.Valid(text), text)
	}
}
