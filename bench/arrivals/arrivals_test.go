package arrivals_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
)

// A server that answers nothing until all requests are there meets a client that does not wait.
func TestRequestsDoNotWaitForAnswers(t *testing.T) {
	var all sync.WaitGroup
	all.Add(3)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		all.Done()
		all.Wait()
	}))
	defer server.Close()
	answers, err := arrivals.Run(t.Context(), []arrivals.Request{
		{At: 20 * time.Millisecond, URL: server.URL}, {At: 0, URL: server.URL}, {At: 10 * time.Millisecond, URL: server.URL},
	})
	require.NoError(t, err)
	require.NoError(t, arrivals.Check(answers))
	require.Greater(t, answers[1].Took, answers[0].Took, "in the order of the requests: the second was due first")
	for _, a := range answers {
		require.Equal(t, 200, a.Status)
		require.LessOrEqual(t, a.Late, a.Took)
	}
	require.GreaterOrEqual(t, answers[1].Took, 20*time.Millisecond, "counted from when it was due")
}

func TestFailuresAreToldApart(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/cut":
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	answers, err := arrivals.Run(t.Context(), []arrivals.Request{{URL: server.URL}, {URL: server.URL + "/busy"}, {URL: server.URL + "/cut"}})
	require.NoError(t, err)
	require.Equal(t, []int{200, 503, 0}, []int{answers[0].Status, answers[1].Status, answers[2].Status})
	require.NotEmpty(t, answers[2].Error)
	require.ErrorContains(t, arrivals.Check(answers), "2 of 3 requests failed, the first with status 503")
}

func TestAnEndedContextEndsTheRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := arrivals.Run(ctx, []arrivals.Request{{At: time.Hour, URL: "http://127.0.0.1:1"}})
	require.ErrorIs(t, err, context.Canceled)
}

func TestLatency(t *testing.T) {
	var answers []arrivals.Answer
	for n := 100; n > 0; n-- {
		answers = append(answers, arrivals.Answer{Took: time.Duration(n)})
	}
	require.Equal(t, arrivals.Latency{P50: 51, P95: 96, P99: 100, Max: 100}, arrivals.LatencyOf(answers))
}

func TestARunWithoutRequestsMeansNothing(t *testing.T) {
	answers, err := arrivals.Run(t.Context(), nil)
	require.NoError(t, err)
	require.ErrorContains(t, arrivals.Check(answers), "no request came")
}
