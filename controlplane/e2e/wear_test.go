package e2e_test

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// An app that leaks loses no request: its environments are replaced before their memory is used up, whichever way lambdapeer is in
// the function.
func TestAnAppThatLeaksLosesNoRequest(t *testing.T) { leaks(t, 256, 300) }

// leakVariable says how many requests the next test sends to each kind of peer. `make leak` sends 50,000.
const leakVariable = "LEAK_REQUESTS"

func TestLongAnAppThatLeaksLosesNoRequest(t *testing.T) {
	requests, err := strconv.ParseInt(cmp.Or(os.Getenv(leakVariable), "5000"), 10, 64)
	require.NoError(t, err, leakVariable)
	leaks(t, 512, requests)
}

func leaks(t *testing.T, megabytes int, requests int64) {
	s := startBoth(t, func(f *controlplanetest.Function) {
		f.Local.MemoryMB, f.Local.EnforceMemory = megabytes, new(true)
	})
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		requireServed(t, startLoad(t, s, 4, requests, "/"+name+"/leak?mb=2&ms=10").wait())
		s.Eventually("worn environments have ended", func() error {
			if worn := s.Function(name).Worn["memory"]; int64(worn) < requests*2/int64(megabytes) {
				return fmt.Errorf("%d have", worn)
			}
			return nil
		})
		require.Empty(t, s.Function(name).StartFailures)
		require.Zero(t, s.Function(name).Ends["crashed"])
		t.Logf("%d requests, none lost; %d environments were worn, %d instances started", requests, s.Function(name).Worn["memory"], s.Function(name).Starts)
	})
}

// environment.max_requests and max_age: a new environment takes the place of one that has served enough, and nobody notices.
func TestEnvironmentsServeAsMuchAsTheyMay(t *testing.T) {
	t.Parallel()
	s := startBoth(t, func(f *controlplanetest.Function) { f.Environment.MaxRequests = 50 })
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		requireServed(t, startLoad(t, s, 4, 300, "/"+name+"/sleep?ms=20").wait())
		s.Eventually("worn environments have ended", func() error {
			if worn := s.Function(name).Worn["requests"]; worn < 2 {
				return fmt.Errorf("%d have", worn)
			}
			return nil
		})
		require.Empty(t, s.Function(name).StartFailures)
	})
}

// An environment breaks and answers every request with an error at once, when it alone has free slots. It ends, and the others serve.
func TestAnEnvironmentThatBreaksIsLetGo(t *testing.T) {
	t.Parallel()
	s := startBoth(t, func(f *controlplanetest.Function) { f.Scaling.Concurrency, f.Scaling.Min = 2, 3 })
	forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
		requireServed(t, startLoad(t, s, 8, 100, "/"+name+"/sleep?ms=20").wait())
		requireServed(t, startLoad(t, s, 1, 1, "/"+name+"/break").wait())
		l := newLoad(t, s, "/"+name+"/sleep?ms=20")
		l.start(8, math.MaxInt64)
		s.Eventually("the environment has ended", func() error {
			if f := s.Function(name); f.Ends["failing"] != 1 || f.Worn["errors"] != 1 {
				return fmt.Errorf("ends %v, worn %v", f.Ends, f.Worn)
			}
			return nil
		})
		results := l.stop()
		requireServed(t, startLoad(t, s, 8, 100, "/"+name+"/sleep?ms=20").wait())
		require.Zero(t, s.Function(name).Ends["rotation"], "no other one was taken for slow")
		require.Empty(t, s.Function(name).StartFailures)
		t.Log(len(results), "requests until it had ended")
	})
}
