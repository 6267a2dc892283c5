package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// startLinked is startBoth with a link between environments and relay.
func startLinked(t *testing.T, tune func(*controlplanetest.Function)) *controlplanetest.Stack {
	t.Helper()
	o := controlplanetest.Options{Linked: true}
	for _, peer := range controlplanetest.Peers {
		f := controlplanetest.App(t, string(peer), peer)
		tune(&f)
		o.Functions = append(o.Functions, f)
	}
	return controlplanetest.Start(t, o)
}

// addFault sets a fault until the function that it returns is called, or the test ends.
func addFault(t *testing.T, s *controlplanetest.Stack, f lambdalocal.Fault) (remove func()) {
	t.Helper()
	id, err := s.Lambda.AddFault(f)
	require.NoError(t, err)
	remove = func() { s.Lambda.RemoveFault(id) }
	t.Cleanup(remove)
	return remove
}

// Scenario 25: the connections of one instance are reset, or its network goes silent for good, in the middle of requests.
// What it had in flight fails, with a status that says so; nothing else does, and the pool is whole again. After a reset the
// instance is, too: its peer dials again.
func TestLongAnInstanceLosesItsNetwork(t *testing.T) {
	const concurrency = 8
	s := startLinked(t, func(f *controlplanetest.Function) {
		f.Scaling.Concurrency, f.Scaling.Min = concurrency, 2
	})
	for _, kind := range []lambdalocal.FaultKind{lambdalocal.FaultLinkReset, lambdalocal.FaultLinkSilence} {
		t.Run(string(kind), func(t *testing.T) {
			forBoth(t, s, func(t *testing.T, s *controlplanetest.Stack, name string) {
				eventuallyReady(s, name, 2)
				held := startLoad(t, s, concurrency+2, concurrency+2, "/"+name+"/sleep?ms=60000")
				s.Eventually("in flight on both", func() error {
					for _, i := range s.Instances(name) {
						if i.Reported == 0 {
							return fmt.Errorf("%d by lease, %d by the peer's count", i.InFlight, i.Reported)
						}
					}
					return nil
				})
				busy, ended := busiest(t, s, name), disorderly(s, name)
				others := startLoad(t, s, 4, endless, "/"+name+"/sleep?ms=10")
				eventuallySent(s, others, 50)

				heal := addFault(t, s, lambdalocal.Fault{Kind: kind, Environment: environmentOf(t, s, busy).ID})
				if kind == lambdalocal.FaultLinkSilence {
					eventuallyDown(s, name, busy.ID)
				}
				eventuallyLost(t, s, held, busy.InFlight)
				heal()
				eventuallySent(s, others, 50)
				requireServedOrLost(t, others.stop(), concurrency)
				s.Eventually("two ready again", func() error {
					if f := s.Function(name); f.Ready != 2 {
						return fmt.Errorf("%d ready, %d starting, %d down", f.Ready, f.Starting, f.Down)
					}
					return nil
				})
				if kind == lambdalocal.FaultLinkReset {
					// It may have been replaced meanwhile, and be one too many now.
					require.Equal(t, ended, disorderly(s, name), "its peer dialled again")
				} else {
					eventuallyGone(s, name, busy.ID)
				}
				held.leave()
				eventuallyUsed(s, name, 0, 0)
			})
		})
	}
}

// bearable is how long a network may be silent without harm. It is less than what relay and peer bear, so that a silence
// that a busy machine ends late is still one; of a longer one a test says nothing.
const bearable = 3 * time.Second

// A moment is a silence that must do no harm.
type moment struct {
	silence time.Duration
	noticed bool // by the relay, for sure
}

// A network is silent for a moment. No request that is in flight fails, whether bytes of it are on their way or not, and
// the instance serves on. What takes longer than a second or two is noticed: the instance gets nothing new meanwhile.
func TestLongANetworkThatIsSilentForAMoment(t *testing.T) {
	o := controlplanetest.Options{Linked: true}
	lengths := map[string]moment{
		"short":  {silence: 500 * time.Millisecond},  // nobody is surprised
		"middle": {silence: 1700 * time.Millisecond}, // the relay may have given the control stream up, and the peer not
		"long":   {silence: 2800 * time.Millisecond, noticed: true},
	}
	moments := map[string]moment{}
	for _, peer := range controlplanetest.Peers {
		for name, m := range lengths {
			f := controlplanetest.App(t, string(peer)+"-"+name, peer)
			f.Scaling.Min, f.Scaling.Max = 1, 1
			o.Functions = append(o.Functions, f)
			moments[f.Name] = m
		}
	}
	s := controlplanetest.Start(t, o)
	stalls := watchStalls()
	t.Cleanup(stalls.stop)
	for name, m := range moments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.In(t)
			for range 5 {
				eventuallyReady(s, name, 1)
				began := time.Now()
				if took, err := outlive(t, s, name, m); took < bearable && !stalls.since(began) {
					require.NoError(t, err)
					return
				}
				t.Log("once more: the machine stalled")
			}
			t.Skip("the machine stalls all the time")
		})
	}
}

// outlive silences a function's only instance under its requests, and returns for how long, and an error if one of them
// failed or the instance is another one afterwards.
func outlive(t *testing.T, s *controlplanetest.Stack, name string, m moment) (took time.Duration, err error) {
	const sleepers, ticks = 3, 60
	instance := busiest(t, s, name)
	quiet := startLoad(t, s, sleepers, sleepers, "/"+name+"/sleep?ms=6000")
	stream := startLoad(t, s, 1, 1, fmt.Sprint("/", name, "/sse?ms=100&n=", ticks))
	s.Eventually("in flight", func() error {
		if i := busiest(t, s, name); i.Reported != sleepers+1 {
			return fmt.Errorf("%d are", i.Reported)
		}
		return nil
	})
	began := time.Now()
	heal := addFault(t, s, lambdalocal.Fault{Kind: lambdalocal.FaultLinkSilence, Function: name})
	if m.noticed {
		eventuallyDown(s, name, instance.ID)
	}
	time.Sleep(time.Until(began.Add(m.silence))) // the fault's time, not a wait for a state
	heal()
	took = time.Since(began)
	for _, r := range quiet.wait() {
		if !r.served() {
			err = errors.Join(err, fmt.Errorf("without bytes on their way: %v", r))
		}
	}
	for _, r := range stream.wait() {
		if got := strings.Count(r.body, "data: "); r.err != nil || r.status != http.StatusOK || got != ticks {
			err = errors.Join(err, fmt.Errorf("%d of %d events came: %v", got, ticks, r))
		}
	}
	eventuallyReady(s, name, 1)
	if state := stateOf(s, name, instance.ID); state != "ready" {
		err = errors.Join(err, fmt.Errorf("the instance is %q", state))
	}
	return took, err
}

// eventuallyDown waits until the instance gets nothing new.
func eventuallyDown(s *controlplanetest.Stack, name, id string) {
	s.EventuallyWithin(10*time.Second, "out of the pool", func() error {
		if state := stateOf(s, name, id); state != "down" && state != "" {
			return fmt.Errorf("instance %s is %s", id, state)
		}
		return nil
	})
}

// eventuallyGone waits until the instance has ended.
func eventuallyGone(s *controlplanetest.Stack, name, id string) {
	s.Eventually("gone", func() error {
		if state := stateOf(s, name, id); state != "" {
			return fmt.Errorf("instance %s is %s", id, state)
		}
		return nil
	})
}

// disorderly counts the instances of the function that ended, but for those that were not needed any more.
func disorderly(s *controlplanetest.Stack, name string) (count int) {
	for reason, n := range s.Function(name).Ends {
		if reason != string(wire.ReasonScaleIn) {
			count += int(n)
		}
	}
	return count
}

// stateOf is the state of an instance, empty if there is none.
func stateOf(s *controlplanetest.Stack, name, id string) string {
	for _, i := range s.Instances(name) {
		if i.ID == id {
			return i.State
		}
	}
	return ""
}

// eventuallyLost waits until as many of the load's requests as were on the lost instance have ended, all as lost.
func eventuallyLost(t *testing.T, s *controlplanetest.Stack, l *load, n int) {
	t.Helper()
	s.Eventually(fmt.Sprint(n, " ended"), func() error {
		if ended := len(l.soFar()); ended < n {
			return fmt.Errorf("%d have", ended)
		}
		return nil
	})
	results := l.soFar()
	require.Len(t, results, n, "those of the other instance live on")
	requireServedOrLost(t, results, n)
}

// requireServedOrLost fails if more than so many requests were not served, or one for another reason than the loss of
// its instance.
func requireServedOrLost(t *testing.T, results []result, lost int) {
	t.Helper()
	failed := 0
	for _, r := range results {
		if r.served() {
			continue
		}
		failed++
		require.True(t, r.lost(), r)
	}
	require.NotEmpty(t, results)
	require.LessOrEqual(t, failed, lost, "of %d requests", len(results))
	t.Logf("%d of %d requests were lost", failed, len(results))
}
