package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// Scenario 19: the handler dies in the middle of its answer, and its process lives on.
func TestHandlersThatDieMidAnswer(t *testing.T) {
	t.Parallel()
	stack := startSites(t, nil)
	eachWay(t, stack, func(t *testing.T, s site) {
		process := s.process()
		other := s.trickle()
		var deaths sync.WaitGroup
		var errs [6]error
		for i := range errs { // at once: Envoy waits a second before it closes an HTTP/1.1 connection
			deaths.Go(func() {
				after := []int{0, 1, 100_000}[i%3]
				_, errs[i] = s.broken(fmt.Sprintf("/abort?after=%d&length=%t", after, i < 3))
			})
		}
		deaths.Wait()
		require.NoError(t, errors.Join(errs[:]...))
		other.requireWhole()
		require.Equal(t, process, s.process(), "the instance is still in service")
		s.eventuallyInFlight(0)
	})
}

// Scenario 19: the whole process dies. With one slot for each instance, the others have other processes.
func TestProcessesThatDieMidAnswer(t *testing.T) {
	t.Parallel()
	stack := startSites(t, func(o *controlplanetest.Options) {
		for i := range o.Functions {
			o.Functions[i].Scaling.Concurrency, o.Functions[i].Scaling.Min = 1, 2
		}
	})
	eachKind(t, stack, func(t *testing.T, s site) {
		for _, stated := range []bool{true, false} {
			other := s.trickle()
			pid, err := s.broken(fmt.Sprintf("/exit?after=1000&length=%t", stated))
			require.NoError(t, err)
			other.requireWhole()
			require.NotEqual(t, pid, s.process(), "another process answers")
		}
		s.Eventually("two instances again", func() error {
			if f := s.Function(s.name); f.Ready != 2 || f.InFlight != 0 {
				return fmt.Errorf("%d ready, %d in flight", f.Ready, f.InFlight)
			}
			return nil
		})
	})
}

// broken returns an error if the client could take the answer for a whole one: it must break off, or be a 502 if its
// beginning was lost with the app. Otherwise it returns the process that gave it, as far as the client knows.
func (s site) broken(target string) (pid string, err error) {
	a, brokeOff := s.try(s.request(http.MethodGet, target, nil))
	switch {
	case a.Response == nil:
		return "", nil
	case a.StatusCode == http.StatusBadGateway:
		return "", nil
	case a.StatusCode != http.StatusOK || brokeOff == nil:
		return "", fmt.Errorf("%s: %s with %d bytes, which look whole", target, a.Status, len(a.body))
	}
	return a.Header.Get(contract.PidHeader), nil
}
