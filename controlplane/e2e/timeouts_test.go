package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

const (
	timeLimit = 1500 * time.Millisecond // of each of the three timeouts, each of a function of its own
	inTime    = "/sleep?ms=800"         // two of them are too much, if a request's time in the queue counted
	tooSlow   = "/sleep?ms=10000"
)

// Scenario 23. Each of the functions has one slot and one of the timeouts.
func TestTimeoutsOfDispatchedRequests(t *testing.T) {
	t.Parallel()
	names := []string{"first-byte", "idle", "total"}
	var o controlplanetest.Options
	for _, name := range names {
		f := siteApp(t, name, controlplanetest.Library)
		f.Scaling.Concurrency, f.Scaling.Max = 1, 1
		f.Timeouts.FirstByte, f.Timeouts.Idle, f.Timeouts.Total = 0, 0, 0
		switch name {
		case "first-byte":
			f.Timeouts.FirstByte = timeLimit
		case "idle":
			f.Timeouts.Idle = timeLimit
		case "total":
			f.Timeouts.Total = timeLimit
		}
		o.Functions = append(o.Functions, f)
	}
	stack := controlplanetest.Start(t, o)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, stack, name, controlplanetest.HTTP1)
			timeInTheQueueDoesNotCount(t, s)
			timeoutsApplyToQueuedRequestsToo(t, s)
			answersThatHaveBegun(t, s)
		})
	}
}

func timeInTheQueueDoesNotCount(t *testing.T, s site) {
	var all []asked
	began := time.Now()
	for range 3 {
		all = append(all, s.ask(s.request(http.MethodGet, inTime, nil)))
	}
	for _, a := range all {
		answer := a.wait(s)
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	}
	require.Greater(t, time.Since(began), timeLimit, "or this test shows nothing")
}

func timeoutsApplyToQueuedRequestsToo(t *testing.T, s site) {
	all := []asked{s.ask(s.request(http.MethodGet, tooSlow, nil))}
	s.Eventually("one in flight", func() error { return s.inFlight(1) })
	all = append(all, s.ask(s.request(http.MethodGet, tooSlow, nil)))
	s.eventuallyQueued(1)
	for _, a := range all {
		answer := a.wait(s)
		require.Equal(t, http.StatusGatewayTimeout, answer.StatusCode)
		require.Contains(t, []string{"response_timeout", "idle_timeout"}, answer.cause(s))
	}
	s.eventuallyIdle()
}

// answersThatHaveBegun are no concern of the time to first byte, are cut when idle only if they are, and are cut by total.
func answersThatHaveBegun(t *testing.T, s site) {
	active, err := s.try(s.request(http.MethodGet, "/sse?n=25&ms=100", nil)) // 2.4 s
	if s.name == "total" {
		requireAborted(s, active, err)
	} else {
		require.NoError(t, err)
	}
	silent, err := s.try(s.request(http.MethodGet, "/sse?n=2&ms=3000", nil))
	if s.name == "first-byte" {
		require.NoError(t, err)
	} else {
		requireAborted(s, silent, err)
	}
	s.eventuallyIdle()
	require.Equal(t, http.StatusOK, s.get("/hello").StatusCode)
	require.EqualValues(t, 1, s.Function(s.name).Starts, "an answer that was cut is no reason for another instance")
}
