package lambdalocal_test

import (
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheIndexListsWhatIsServed(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	get := func(path string) (int, string) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(m.InvokeURL() + path)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(text)
	}
	status, text := get("/")
	require.Equal(t, http.StatusOK, status)
	paths := regexp.MustCompile(`(?m)^GET +(\S+)`).FindAllStringSubmatch(text, -1)
	require.Len(t, paths, 5)
	for _, path := range paths {
		status, text := get(path[1])
		require.Equal(t, http.StatusOK, status, "%s: %s", path[1], text)
	}
	status, _ = get("/nothing")
	require.Equal(t, http.StatusNotFound, status)
}
