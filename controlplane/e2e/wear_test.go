package e2e_test

import (
	"cmp"
	"fmt"
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
