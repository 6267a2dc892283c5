package spelling

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheNearestNameIsSuggested(t *testing.T) {
	known := []string{"name", "command", "timeout", "init_timeout"}
	for name, want := range map[string]string{
		"comand": "command", "commnad": "command", "Name": "name", "timeouts": "timeout", "ini_timeout": "init_timeout",
	} {
		require.Equal(t, ", did you mean "+want+"?", Suggest(name, known))
	}
	for _, name := range []string{"", "x", "zone", "memory"} {
		require.Empty(t, Suggest(name, known), name)
	}
	require.Empty(t, Suggest("name", nil))
}

func TestDistances(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"", "ab"}: 2, {"ab", ""}: 2, {"abc", "abc"}: 0, {"kitten", "sitting"}: 3, {"ab", "ba"}: 2,
	} {
		require.Equal(t, want, distance(pair[0], pair[1]), pair)
	}
}
