package admin

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeReloader takes what it is told to, or does not.
type fakeReloader struct {
	err  error
	last Reload
	why  []string
}

func (f *fakeReloader) Reload(why string) Reload {
	f.why = append(f.why, why)
	f.last = Reload{At: time.Unix(200, 0), TakenAt: time.Unix(100, 0), Changed: []string{"functions[web].queue.limit"}, Taken: 3, NotTaken: 1}
	if f.err != nil {
		f.last.Refused = f.err.Error()
	}
	return f.last
}

func (f *fakeReloader) Last() Reload { return f.last }

func TestReload(t *testing.T) {
	r := &fakeReloader{}
	s := open(t, func(o *Options) { o.Reloader = r })
	answer, body := s.do(t, "POST", "/reload", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.JSONEq(t, `{"at":"1970-01-01T00:03:20Z","taken_at":"1970-01-01T00:01:40Z","refused":"","changed":["functions[web].queue.limit"],
		"needs_restart":[]}`, body)

	r.err = errors.New("functions[0].queue.limit: line 3: must be an integer")
	answer, body = s.do(t, "POST", "/reload", "")
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	require.Contains(t, body, "functions[0].queue.limit: line 3: must be an integer")
	require.Len(t, r.why, 2)

	answer, body = s.do(t, "GET", "/reload", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, body, `"refused": "functions[0].queue.limit: line 3: must be an integer"`)
	require.Len(t, r.why, 2, "to look is not to do")
	answer, _ = s.do(t, "DELETE", "/reload", "")
	require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)

	_, body = s.do(t, "GET", "/metrics", "")
	for _, line := range []string{
		"config_last_reload_successful 0", "config_last_reload_success_timestamp_seconds 100", "config_needs_restart 0",
		`config_reloads_total{outcome="taken"} 3`, `config_reloads_total{outcome="refused"} 1`,
	} {
		require.Contains(t, body, "\nlambda_dispatch_"+line+"\n")
	}
	_, body = s.do(t, "GET", "/", "")
	require.Contains(t, body, "/reload")

	answer, _ = open(t, nil).do(t, "POST", "/reload", "")
	require.Equal(t, http.StatusNotFound, answer.StatusCode, "where there is nothing to read")
}
