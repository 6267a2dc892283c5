package invokeapi

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// AWS counts the JSON of all variables, not only names and values: localstack has recorded the message.
func TestVariablesAreMeasuredAsJSON(t *testing.T) {
	of := func(length int) error {
		return variables{map[string]string{"LARGE_VAR": strings.Repeat("<", length-len(`{"LARGE_VAR":""}`))}}.check()
	}
	require.NoError(t, of(4096))
	require.ErrorContains(t, of(4097), `exceeded the 4KB limit. String measured: {"LARGE_VAR":"<<`)
	require.NoError(t, variables{}.check())
}
