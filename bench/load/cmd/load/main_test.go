package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunPrintsAReport(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Test"))
	}))
	t.Cleanup(server.Close)

	var stdout strings.Builder
	self := "server=" + strconv.Itoa(os.Getpid())
	args := []string{"-requests", "500", "-duration", "0", "-header", "X-Test: abc", "-pid", self, server.URL + "/x"}
	require.NoError(t, run(t.Context(), args, &stdout, io.Discard))

	var got report
	require.NoError(t, json.Unmarshal([]byte(stdout.String()), &got))
	require.Equal(t, server.URL+"/x", got.URL)
	require.EqualValues(t, 500, got.Result.Requests)
	require.EqualValues(t, 1500, got.Result.BodyBytes)
	require.Contains(t, got.Processes, "load")
	require.Positive(t, got.Processes["server"].PSS)
	require.NotEmpty(t, got.Machine.Kernel)
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	for want, args := range map[string][]string{
		"want one URL, got 0 arguments":  {},
		`want "Name: value"`:             {"-header", "x", "http://localhost/"},
		"want name=pid":                  {"-pid", "envoy", "http://localhost/"},
		"envoy: process 1073741824:":     {"-pid", "envoy=1073741824", "http://localhost/"},
		"url: must be http://host":       {"ftp://localhost/"},
		"requests, duration: one of the": {"-duration", "0", "http://localhost/"},
	} {
		require.ErrorContains(t, run(t.Context(), args, io.Discard, io.Discard), want)
	}
}
