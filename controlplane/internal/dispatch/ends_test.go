package dispatch

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// endsByReason is how many instances have ended, by reason.
func (w *world) endsByReason() map[string]uint64 { return w.Functions()[0].Ends }

// staticToken is what peers of static functions register with, until a test changes the world's token.
const staticToken = "0123456789abcdef"

// static is a function whose peers register with a token.
func static(*testing.T) (secret string, change func(*config.Function)) {
	return staticToken, func(f *config.Function) { f.Provider = config.ProviderStatic }
}

func TestADisabledFunctionStartsNoMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Disabled, f.Scaling.Min = true, 2 })
		time.Sleep(time.Hour)
		require.Empty(t, w.instances())
	})
}

// What breaks is the connection to Lambda's API, not the instance: it serves on, and its tunnels tell when it ends.
func TestAnInstanceOutlivesTheConnectionThatWaitsForItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		w.end(id, provider.End{Cause: scaler.Network, Detail: "connection reset by peer"})
		require.NotContains(t, w.forgot, id)
		require.Equal(t, upstream.Healthy, w.health(lease.Endpoint()))
		another := <-w.acquire(t.Context())
		require.NoError(t, another.err)
		require.Equal(t, lease.Endpoint(), another.lease.Endpoint())
		require.Empty(t, w.endsByReason())

		w.Down(id, &wire.Report{Reason: wire.ReasonDeadline}, nil)
		require.Equal(t, map[string]uint64{"deadline": 1}, w.endsByReason())
		require.Empty(t, w.Instances())
		lease.Release()
		another.lease.Release()
		require.Zero(t, w.Functions()[0].InFlight)
	})
}

// The relay does not hear the peer for a moment: nothing new is sent there, and what is in flight goes on.
func TestAPeerThatIsLostForAMomentServesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Concurrency = 2 })
		id, lease := w.up()
		w.Lost(id, relays.ErrControlEnded)
		require.Equal(t, upstream.Degraded, w.health(lease.Endpoint()), "for whom no other can serve")
		require.Equal(t, 1, w.Functions()[0].InFlight)
		waits := w.acquire(t.Context())
		require.Empty(t, waits, "no slot")
		w.comesUp(id)
		r := <-waits
		require.NoError(t, r.err)
		require.Equal(t, lease.Endpoint(), r.lease.Endpoint(), "the same instance")
		require.Equal(t, upstream.Healthy, w.health(lease.Endpoint()))
		require.Empty(t, w.endsByReason())
		lease.Release()
		r.lease.Release()
	})
}

// No request is balanced to an instance whose tunnels are closed, although its invocation goes on: it comes back no more.
func TestAnInstanceWhoseTunnelsAreClosedGetsNothingThatIsBalanced(t *testing.T) {
	for name, how := range map[string]func(w *world, id string){
		"it has finished": func(w *world, id string) {
			require.NoError(t, w.DrainInstance(id))
			w.Down(id, &wire.Report{Reason: wire.ReasonOperator}, nil)
		},
		"it has ended by itself": func(w *world, id string) { w.Down(id, &wire.Report{Reason: wire.ReasonDeadline}, nil) },
		"it did not come back": func(w *world, id string) {
			w.Lost(id, relays.ErrControlEnded)
			w.Down(id, nil, relays.ErrControlEnded)
		},
		"it has finished, and its relay is gone": func(w *world, id string) {
			w.Down(id, &wire.Report{Reason: wire.ReasonDeadline}, nil)
			w.Away(id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				id, lease := w.up()
				lease.Release()
				how(w, id)
				require.Equal(t, upstream.Unhealthy, w.health(lease.Endpoint()))
			})
		})
	}
}

// Envoy comes after a start has taken as long as it may. That is no reason to start again.
func TestAStartWaitsForEnvoyAndForALostPeerOnlyItsTime(t *testing.T) {
	for name, lost := range map[string]bool{"Envoy comes": false, "the peer goes": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
				id := w.instances()[0]
				time.Sleep(10 * time.Second)
				w.comesUp(id)
				time.Sleep(55 * time.Second)
				require.Len(t, w.instances(), 1)
				if lost {
					w.Lost(id, relays.ErrControlEnded)
					synctest.Wait()
					require.Contains(t, w.forgot, id)
					require.Equal(t, uint64(1), w.Functions()[0].StartFailures["start_timeout"])
					return
				}
				w.publish()
				require.Equal(t, 1, w.Functions()[0].Ready)
				require.Empty(t, w.Functions()[0].StartFailures["start_timeout"])
			})
		})
	}
}

// The peer went while Envoy was away.
func TestEnvoyBringsNoLostPeerUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		id := w.instances()[0]
		w.comesUp(id)
		w.Lost(id, relays.ErrControlEnded)
		w.publish()
		require.Equal(t, 1, w.Functions()[0].Starting)
		w.comesUp(id)
		require.Equal(t, 1, w.Functions()[0].Ready)
	})
}

// Its drain goes on as if nothing had happened, and does not keep it for ever.
func TestALostPeerThatDrainsEndsInTime(t *testing.T) {
	for name, back := range map[string]bool{"it comes back": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				id, lease := w.up()
				require.NoError(t, w.DrainInstance(id))
				w.Lost(id, relays.ErrControlEnded)
				if back {
					w.comesUp(id)
				}
				require.Empty(t, w.drainedFor(id), "a lease is out")
				lease.Release()
				synctest.Wait()
				require.Equal(t, wire.ReasonOperator, w.drainedFor(id))
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Contains(t, w.forgot, id, "it is cut at its deadline")
			})
		})
	}
}

// The answer would have said what the goodbye said already.
func TestAnAnswerThatIsLostAfterTheGoodbyeIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		lease.Release()
		w.Down(id, &wire.Report{Reason: wire.ReasonScaleIn}, nil)
		w.end(id, provider.End{Cause: scaler.Network, Detail: "connection reset by peer"})
		require.Equal(t, map[string]uint64{"scale_in": 1}, w.endsByReason())
	})
}

func TestAStartWhoseConnectionBreaksHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.acquire(t.Context())
		id := w.instances()[0]
		w.end(id, provider.End{Cause: scaler.Network})
		require.Contains(t, w.forgot, id)
		require.Equal(t, map[string]uint64{"network": 1}, w.endsByReason())
	})
}

// An instance comes up between the decision that its start has failed and its end. A request that it got would be sent to nobody.
func TestAStartThatHasFailedGetsNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		got := w.acquire(t.Context())
		id := w.instances()[0]
		w.publish()
		i := w.instance(id)
		require.False(t, i.function.servesOn(i))
		w.comesUp(id)
		synctest.Wait()
		require.Empty(t, got)
		w.end(id, provider.End{Cause: scaler.Network})
		require.Contains(t, w.forgot, id)
		require.Equal(t, map[string]uint64{"network": 1}, w.endsByReason())
	})
}

func TestTheOrderOfAnInstancesLastEventsDoesNotMatter(t *testing.T) {
	report := &wire.Report{Reason: wire.ReasonShutdown}
	down := func(w *world, id string) { w.Down(id, report, nil) }
	ended := func(w *world, id string) { w.end(id, provider.End{Report: report}) }
	for name, events := range map[string][]func(*world, string){
		"down, ended":         {down, ended},
		"ended, down":         {ended, down},
		"ended only":          {ended},
		"ended, up, draining": {ended, (*world).comesUp, func(w *world, id string) { w.Draining(id, wire.ReasonShutdown) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				id, lease := w.up()
				for _, event := range events {
					event(w, id)
				}
				require.Equal(t, map[string]uint64{"shutdown": 1}, w.endsByReason())
				require.Empty(t, w.Instances())
				require.Equal(t, 1, w.Functions()[0].InFlight, "until Envoy says that the request has ended")
				lease.Release()
				require.Zero(t, w.Functions()[0].InFlight)
				require.NoError(t, w.named("web").pool.Check())
			})
		})
	}
}

// The event was on its way when the invocation ended.
func TestAnInstanceThatHasEndedDoesNotComeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.acquire(t.Context())
		id := w.instances()[0]
		i := w.instance(id)
		w.publish()
		w.end(id, provider.End{Cause: scaler.Crashed})
		i.function.up(i, relays.Up{Instance: id, Environment: "env", Slots: 10})
		require.False(t, i.isUp)
		require.Zero(t, w.Functions()[0].Ready)
	})
}

func TestTheNextInstanceAtAnEndpointIsNotTakenForTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		old, first := w.up()
		w.end(old, provider.End{Report: &wire.Report{Reason: wire.ReasonShutdown}})
		time.Sleep(time.Second)
		id, second := w.up()
		require.NotEqual(t, old, id)
		require.Equal(t, first.Endpoint(), second.Endpoint(), "lowest free first")
		w.Down(old, nil, relays.ErrControlEnded)
		first.Release()
		require.Equal(t, 1, w.Functions()[0].InFlight)
		require.Equal(t, 1, w.Functions()[0].Ready)
		require.Equal(t, upstream.Healthy, w.health(second.Endpoint()))
	})
}

func TestAnInstanceThatDrainsBeforeEnvoyKnowsItNeverServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		got := w.acquire(t.Context())
		id := w.instances()[0]
		w.comesUp(id)
		require.NoError(t, w.DrainInstance(id))
		w.publish()
		synctest.Wait()
		require.Empty(t, got)
		require.Equal(t, wire.ReasonOperator, w.drainedFor(id))
		require.Equal(t, upstream.Draining, w.health("/e/web/0000"))
	})
}

func TestALeaseOnADrainingInstancePastItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Lambda.Timeout = 10 * time.Second })
		id, lease := w.up()
		require.NoError(t, w.DrainInstance(id))
		time.Sleep(9*time.Second + time.Millisecond)
		synctest.Wait()
		require.Equal(t, wire.ReasonOperator, w.drainedFor(id), "the last call")
		require.NotContains(t, w.forgot, id)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Contains(t, w.forgot, id, "cut")
		w.Down(id, nil, relays.ErrForgotten)
		require.Equal(t, 1, w.Functions()[0].Down, "its invocation goes on, and counts")
		lease.Release()
		w.end(id, provider.End{Report: &wire.Report{Reason: wire.ReasonRelayLost}})
		requireIdle(t, w)
	})
}

func TestAPeerThatRegisteredAndMissesADeadlineIsGone(t *testing.T) {
	secret, change := static(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change)
		never, err := w.Register(t.Context(), secret, wire.Registration{Function: "web"})
		require.NoError(t, err)
		served, err := w.Register(t.Context(), secret, wire.Registration{Function: "web"})
		require.NoError(t, err)
		w.publish()
		w.Up(relays.Up{Instance: served.Instance, Environment: "laptop", Slots: 10, Left: time.Hour})
		require.Equal(t, 1, w.Functions()[0].Ready, "it has no timeout of ours")
		require.NoError(t, w.DrainInstance(served.Instance))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, id := range []string{never.Instance, served.Instance} {
			require.Contains(t, w.forgot, id)
			w.Down(id, nil, relays.ErrForgotten)
		}
		require.Equal(t, map[string]uint64{"start_timeout": 1, "crashed": 1}, w.endsByReason())
		requireIdle(t, w)
	})
}

func TestShutdownLeavesInvocationsThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		id := w.instances()[0]
		w.publish()
		w.comesUp(id)
		lease := (<-w.acquire(t.Context())).lease
		ctx, cancel := context.WithTimeout(t.Context(), w.DrainLimit()+time.Second)
		defer cancel()
		began := time.Now()
		w.Shutdown(ctx)
		require.Equal(t, w.DrainLimit()+time.Second, time.Since(began))
		require.Equal(t, map[string]uint64{"unknown": 1}, w.endsByReason())
		lease.Release() // when its stream ends, which is later
		w.Down(id, nil, relays.ErrForgotten)
		requireIdle(t, w)
		requireNothingLeft(t, w.Dispatcher)
	})
}

func TestShutdownOfNothingReturnsAtOnceAndTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		began := time.Now()
		w.Shutdown(t.Context())
		w.Shutdown(t.Context())
		require.Zero(t, time.Since(began))
		requireRefused(t, <-w.acquire(t.Context()), admission.Rejected, admission.Closed)
		require.Empty(t, w.instances())
	})
}

// A stream survives a bug in its request (package extproc); so must the function's lock.
func TestAPanicDoesNotKeepTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		require.Panics(t, func() {
			w.named("web").do(func(*pool.Pool, time.Time) *pool.Effects { panic("a bug") })
		})
		_, lease := w.up()
		lease.Release()
	})
}

func TestReasonsThatPeersMakeUpAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for n := range 2 * maxReasons {
			w.named("web").countEnd(fmt.Sprint("reason", n))
		}
		require.Len(t, w.endsByReason(), maxReasons+1)
		require.EqualValues(t, maxReasons, w.endsByReason()["other"])
	})
}

func requireIdle(t *testing.T, w *world) {
	t.Helper()
	f := w.Functions()[0]
	require.Zero(t, f.InFlight+f.QueueDepth+f.Starting+f.Ready+f.Draining+f.Down)
	require.Empty(t, w.Instances())
	require.Empty(t, w.Dispatcher.instances)
}

// BenchmarkAcquireRelease is a request that finds a free slot, as its stream sees the dispatcher.
func BenchmarkAcquireRelease(b *testing.B) {
	w := newWorld(b, func(f *config.Function) { f.Scaling.Min = 1 })
	w.publish()
	w.comesUp(w.Instances()[0].ID)
	b.ReportAllocs()
	for b.Loop() {
		l, err := w.Acquire(context.Background(), admission.Request{Function: "web"})
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
	}
}
