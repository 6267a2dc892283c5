package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// runtimeVariable makes this program a Lambda runtime that takes an invocation and never dials anybody.
const runtimeVariable = "E2E_SILENT_RUNTIME"

func init() {
	if os.Getenv(runtimeVariable) == "" {
		return
	}
	response, err := http.Get("http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/next")
	if err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		time.Sleep(time.Hour) // Lambda's timeout ends it
	}
	os.Exit(1)
}

// A breakdown is a way in which starts fail, what clients must be told, and how many invocations their requests may cause.
type breakdown struct {
	name    string
	harm    func(*testing.T, *controlplanetest.Function)
	fault   lambdalocal.FaultKind
	status  int
	cause   string
	atMost  int // invocations for all requests
	retried bool
}

const (
	burst        = 5 // starts at once: of one instance for each ten that wait
	faultClients = burst * 10
	faultRounds  = 10
)

var breakdowns = []breakdown{
	// Refused for good: the starts that were made at once, and no other within half a minute.
	{name: "denied", fault: lambdalocal.FaultAccessDenied, status: http.StatusBadGateway, cause: "denied", atMost: burst},
	{name: "missing", harm: unknownToLambda, status: http.StatusBadGateway, cause: "not_found", atMost: burst},
	// Broken: as many at once, then one at a time with growing pauses.
	{name: "crashing", harm: crashing, status: http.StatusBadGateway, cause: "crashed", atMost: burst + 5},
	{name: "silent", harm: silent, status: http.StatusBadGateway, cause: "start_timeout", atMost: burst + 5},
	// Not now: fewer at once, with growing pauses.
	{name: "throttled", fault: lambdalocal.FaultThrottle, status: http.StatusServiceUnavailable, cause: "throttled", atMost: 4 * burst, retried: true},
}

func unknownToLambda(_ *testing.T, f *controlplanetest.Function) {
	f.Local.Command, f.Local.Extensions = nil, nil
}

func crashing(_ *testing.T, f *controlplanetest.Function) { f.Local.Command = []string{"false"} }

func silent(t *testing.T, f *controlplanetest.Function) {
	program, err := os.Executable()
	require.NoError(t, err)
	f.Local.Command = []string{program}
	f.Local.Env[runtimeVariable] = "1"
	f.Scaling.StartTimeout = 500 * time.Millisecond
	f.Local.Timeout = 5 * time.Second
}

// Scenarios 26 and 27, in small: starts that fail under load.
func TestLongStartsThatFail(t *testing.T) {
	t.Parallel()
	var o controlplanetest.Options
	for _, b := range breakdowns {
		f := siteApp(t, b.name, controlplanetest.Library)
		f.Scaling.Min, f.Scaling.StartsInProgress = 0, burst
		f.Queue.Timeout = 10 * time.Second
		if b.retried {
			f.Queue.Timeout = 2 * time.Second // they wait as long as they may
		}
		if b.harm != nil {
			b.harm(t, &f)
		}
		o.Functions = append(o.Functions, f)
	}
	stack := controlplanetest.Start(t, o)
	for _, b := range breakdowns {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			startsThatFail(newSite(t, stack, b.name, controlplanetest.HTTP1), b)
		})
	}
}

// hasFailed looks for a cause of failed starts. Operators hear a more precise word for throttling than clients do.
func hasFailed(failures map[string]uint64, cause string) bool {
	for precise, n := range failures {
		if n > 0 && (precise == cause || strings.HasPrefix(precise, cause+"_")) {
			return true
		}
	}
	return false
}

func startsThatFail(s site, b breakdown) {
	var fault int
	if b.fault != "" {
		var err error
		fault, err = s.Lambda.AddFault(lambdalocal.Fault{Kind: b.fault, Function: s.name})
		require.NoError(s.t, err)
	}
	rounds := faultRounds
	if b.retried {
		rounds = 2
	}
	refusals := flood(s, rounds)
	require.Len(s.t, refusals, faultClients*rounds)
	for _, a := range refusals {
		require.Equal(s.t, b.status, a.StatusCode, a.body)
		require.Equal(s.t, b.cause, a.cause(s))
		require.NotEmpty(s.t, a.Header.Get("Retry-After"), "the breaker knows when the next start may be tried")
	}
	f, lambda := s.Function(s.name), s.Lambda.Counters(s.name)
	require.LessOrEqual(s.t, int(f.Starts), b.atMost, "for %d requests", len(refusals))
	require.LessOrEqual(s.t, lambda.Started+lambda.Faults, b.atMost)
	require.True(s.t, hasFailed(f.StartFailures, b.cause), f.StartFailures)
	require.Zero(s.t, f.QueueDepth+f.InFlight+f.Ready)
	if !b.retried {
		return
	}
	require.True(s.t, s.Lambda.RemoveFault(fault))
	s.Eventually("served again", func() error {
		if a := s.get("/hello"); a.StatusCode != http.StatusOK {
			return fmt.Errorf("%d %s", a.StatusCode, a.body)
		}
		return nil
	})
}

// flood sends requests from many clients, each one after the other, and returns all answers.
func flood(s site, rounds int) []answer {
	var mu sync.Mutex
	var clients sync.WaitGroup
	var all []answer
	for range faultClients {
		clients.Go(func() {
			for range rounds {
				a, err := s.try(s.request(http.MethodGet, "/hello", nil))
				if err != nil {
					continue // missing in the count
				}
				mu.Lock()
				all = append(all, a)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return all
}

// Envoy ends and comes back while the pool is warm: what was on its way is lost, and nothing else.
func TestEnvoyRestarts(t *testing.T) {
	t.Parallel()
	s := startSites(t, func(o *controlplanetest.Options) {
		for i := range o.Functions {
			o.Functions[i].Scaling.Min = 1
		}
	})
	for _, k := range kinds {
		eventuallyWarm(newSite(t, s, k.name, controlplanetest.HTTP1))
	}
	before := map[string]string{}
	for _, k := range kinds {
		before[k.name] = s.Instances(k.name)[0].ID
		newSite(t, s, k.name, controlplanetest.HTTP1).hold()
		newSite(t, s, k.name, controlplanetest.HTTP2).hold()
	}
	s.RestartEnvoy()
	eachWay(t, s, func(t *testing.T, s site) {
		s.eventuallyIdle()
		require.Equal(t, http.StatusOK, s.get("/hello").StatusCode)
		require.Equal(t, before[s.name], s.Instances(s.name)[0].ID)
		require.EqualValues(t, 1, s.Function(s.name).Starts)
		require.Equal(t, 1, s.Lambda.Counters(s.name).Started)
	})
}
