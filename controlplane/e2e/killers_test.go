package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// A route whose requests end the app's process is named, and what else is in flight is not. Others lose what they have on the same
// instance each time, and no more.
func TestLongARouteThatKillsEnvironmentsIsNamed(t *testing.T) { killersAreNamed(t, "exit", "?after=0") }

// The same where a request takes more memory than there is, and Lambda kills the whole environment: at once where it is more than the
// kernel's limit, which has room for /tmp as well.
func TestLongARouteThatTakesAllMemoryIsNamed(t *testing.T) { killersAreNamed(t, "leak", "?mb=1024") }

func killersAreNamed(t *testing.T, route, query string) {
	const concurrency = 10
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency = concurrency
		f.Local.MemoryMB, f.Local.EnforceMemory = 512, new(true)
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		others := startLoad(t, s, 4, endless, "/"+name+"/sleep/42?ms=20")
		client := controlplanetest.Client(t, controlplanetest.HTTP1)
		deaths := 0
		for ; len(s.Function(name).Killers) == 0; deaths++ {
			require.Less(t, deaths, 25, "deaths, and no route is named")
			served := len(others.soFar())
			s.Eventually("others are served", func() error {
				if n := len(others.soFar()) - served; n < 100 {
					return fmt.Errorf("%d", n)
				}
				return nil
			})
			killed := fetch(t.Context(), client, s.URL("/"+name+"/"+route+query))
			require.False(t, killed.status == http.StatusOK && killed.err == nil, killed)
			s.Eventually("the death is known", func() error {
				if n := s.Function(name).Ends["crashed"] + s.Function(name).Ends["app_exited"]; n <= uint64(deaths) {
					return fmt.Errorf("%d are", n)
				}
				return nil
			})
		}
		f := s.Function(name)
		require.Len(t, f.Killers, 1)
		killer := f.Killers[0]
		require.LessOrEqual(t, killer.Others, killer.Deaths*(concurrency-1))
		require.Equal(t, "GET /"+name+"/"+route, killer.Route)
		require.GreaterOrEqual(t, killer.Of, killer.Deaths)
		words := map[string]bool{}
		for _, w := range f.Warnings {
			words[w.Word] = true
		}
		require.True(t, words[operator.KillsEnvironments])
		requireServedOrLost(t, others.stop(), deaths*(concurrency-1))
		t.Logf("named after %d deaths: %+v", deaths, killer)
	})
}
