package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// siteApp returns a function that can be a site: its host leads to it, and one instance stays.
func siteApp(t *testing.T, name string, peer controlplanetest.Peer) controlplanetest.Function {
	f := controlplanetest.App(t, name, peer)
	f.Routes = append(f.Routes, config.Route{Host: name + ".test"})
	f.Scaling.Min = 1
	return f
}

// hold takes a slot, and keeps it until the returned function is called, or the test ends.
func (s site) hold() (release func()) {
	s.t.Helper()
	response, err := s.client.Do(s.request(http.MethodGet, "/cancelled", nil))
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	release = sync.OnceFunc(func() { _ = response.Body.Close() }) // which is how a client leaves
	s.t.Cleanup(release)
	return release
}

// An asked request is on its way.
type asked chan struct {
	answer
	err error
}

// ask sends a request and does not wait for its answer.
func (s site) ask(r *http.Request) asked {
	out := make(asked, 1)
	go func() {
		a, err := s.try(r)
		out <- struct {
			answer
			err error
		}{a, err}
	}()
	return out
}

// wait fails the test unless the answer is complete.
func (a asked) wait(s site) answer {
	s.t.Helper()
	got := <-a
	require.NoError(s.t, got.err)
	return got.answer
}

func (s site) eventuallyQueued(n int) {
	s.t.Helper()
	s.Eventually(fmt.Sprint(n, " in the queue"), func() error {
		if depth := s.Function(s.name).QueueDepth; depth != n {
			return fmt.Errorf("%d are", depth)
		}
		return nil
	})
}

// eventuallyIdle waits until nothing is in flight or in the queue, by the pool's count and by the peers'.
func (s site) eventuallyIdle() {
	s.t.Helper()
	s.Eventually("idle", func() error {
		f := s.Function(s.name)
		err := fmt.Errorf("%d in flight, %d in the queue, %d of %d slots free", f.InFlight, f.QueueDepth, f.Free, f.Capacity)
		for _, i := range s.Instances(s.name) {
			if i.InFlight+i.Reported > 0 {
				return fmt.Errorf("%w; instance %s has %d, and its peer counts %d", err, i.Endpoint, i.InFlight, i.Reported)
			}
		}
		if f.InFlight+f.QueueDepth > 0 || f.Free != f.Capacity {
			return err
		}
		return nil
	})
}

// requests is how many admissions ended so.
func (s site) requests(outcome, cause string) int {
	s.t.Helper()
	for _, r := range s.Function(s.name).Requests {
		if r.Outcome == outcome && r.Cause == cause {
			return int(r.Count)
		}
	}
	return 0
}

// cause is what a refusal gives for one; it fails the test if the answer is not a problem document.
func (a answer) cause(s site) string {
	s.t.Helper()
	require.Equal(s.t, "application/problem+json", a.Header.Get("Content-Type"), a.body)
	var problem struct {
		Title  string
		Status int
		Cause  string
	}
	require.NoError(s.t, json.Unmarshal([]byte(a.body), &problem), a.body)
	require.Equal(s.t, a.StatusCode, problem.Status)
	require.NotEmpty(s.t, problem.Title)
	return problem.Cause
}

// requireAborted fails the test if an answer ended as if it were whole.
func requireAborted(s site, a answer, err error) {
	s.t.Helper()
	require.Error(s.t, err)
	require.NotNil(s.t, a.Response, "the answer had begun: %v", errors.Unwrap(err))
	require.Equal(s.t, http.StatusOK, a.StatusCode)
}

// inFlight tells how many leases are out, if not n.
func (s site) inFlight(n int) error {
	if now := s.Function(s.name).InFlight; now != n {
		return fmt.Errorf("%d in flight", now)
	}
	return nil
}
