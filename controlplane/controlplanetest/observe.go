package controlplanetest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// Eventually polls until check gives nil, and fails the test with its last error when that takes too long.
func (s *Stack) Eventually(what string, check func() error) {
	s.t.Helper()
	s.EventuallyWithin(Patience, what, check)
}

// Polls come quickly at first. What takes longer is asked for less often: with the race detector a poll costs milliseconds.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 25 * time.Millisecond
)

// EventuallyWithin is Eventually with a limit that belongs to what is tested.
func (s *Stack) EventuallyWithin(limit time.Duration, what string, check func() error) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for pause := firstPause; ; pause = min(pause*5/4, lastPause) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.NoError(s.t, err, "not %s within %v", what, limit)
		}
		time.Sleep(pause) // between polls, not for a state
	}
}

// AdminGet asks the admin address for a path.
func (s *Stack) AdminGet(path string) (status int, body string) {
	s.t.Helper()
	return s.AdminDo(http.MethodGet, path, "")
}

// AdminPost posts an empty body to the admin address.
func (s *Stack) AdminPost(path string) (status int, body string) {
	s.t.Helper()
	return s.AdminDo(http.MethodPost, path, "")
}

// AdminDo asks the admin address for anything.
func (s *Stack) AdminDo(method, path, body string) (status int, answer string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.Admin+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(text)
}

// Function is what the API says about a function.
func (s *Stack) Function(name string) operator.Function {
	s.t.Helper()
	var list struct {
		Functions []operator.Function `json:"functions"`
	}
	s.adminJSON("/api/v1/functions", &list)
	for _, f := range list.Functions {
		if f.Name == name {
			return f
		}
	}
	require.Failf(s.t, "no such function", "%q is not in the API's list", name)
	return operator.Function{}
}

// Instances is what the API says about a function's instances.
func (s *Stack) Instances(function string) []operator.Instance {
	s.t.Helper()
	var list struct {
		Instances []operator.Instance `json:"instances"`
	}
	s.adminJSON("/api/v1/instances", &list)
	var out []operator.Instance
	for _, i := range list.Instances {
		if i.Function == function {
			out = append(out, i)
		}
	}
	return out
}

func (s *Stack) adminJSON(path string, into any) {
	s.t.Helper()
	status, body := s.AdminGet(path)
	require.Equal(s.t, http.StatusOK, status, body)
	require.NoError(s.t, json.Unmarshal([]byte(body), into), body)
}
