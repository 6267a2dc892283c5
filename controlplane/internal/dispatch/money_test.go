package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Of one GB on x86.
const (
	perSecond  = 0.0000166667
	perHour    = 3600 * perSecond
	perRequest = 0.20 / 1e6
)

func withMemory(f *config.Function) { f.Lambda.MemoryMB = 1024 }

func (w *world) bill() operator.Bill { return w.Functions()[0].Bill }

func TestTheBillIsWhatLambdaReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		time.Sleep(10 * time.Second)
		lease.Release()
		b := w.bill()
		require.Equal(t, 1, b.Running)
		require.Equal(t, bill.AssumedMemoryMB, b.MemoryMB, "nobody knows yet")
		require.InDelta(t, 10*bill.AssumedMemoryMB/1024.0, b.GBSeconds, 1e-9)
		require.InDelta(t, perHour*bill.AssumedMemoryMB/1024, b.DollarsPerHour, 1e-9)

		w.end(id, provider.End{
			Report: &wire.Report{Reason: wire.ReasonScaleIn},
			Usage:  bill.Usage{Billed: 9876 * time.Millisecond, Init: 200 * time.Millisecond, MemoryMB: 512},
		})
		time.Sleep(time.Minute)
		b = w.bill()
		require.EqualValues(t, 1, b.Invocations)
		require.Zero(t, b.Estimated)
		require.InDelta(t, 9.876, b.BilledSeconds, 1e-9)
		require.InDelta(t, 9.876/2, b.BilledGBSeconds, 1e-9)
		require.InDelta(t, 9.876/2*perSecond+perRequest, b.Dollars, 1e-12)
		require.Zero(t, b.DollarsPerHour)

		require.EqualValues(t, 1, b.Plain.Requests)
		require.EqualValues(t, 1, b.Plain.ColdStarts)
		require.InDelta(t, 10.2, b.Plain.BilledSeconds, 1e-9, "from the lease to the release, and a cold start")
		require.InDelta(t, 10.2/2*perSecond+perRequest, b.Plain.Dollars, 1e-12)
		require.InDelta(t, b.Plain.Dollars-b.Dollars, b.SavedDollars, 1e-15)
	})
}

// Async init: Lambda reports the 9 s of its init phase, and the invocation the other five.
func TestPlainLambdaPaysForTheWholeInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withMemory)
		got := w.acquire(t.Context())
		id := w.instances()[0]
		time.Sleep(14 * time.Second)
		w.comesUp(id)
		time.Sleep(10 * time.Second) // until Envoy knows it, which is no part of the start
		w.publish()
		(<-got).lease.Release()
		w.end(id, provider.End{
			Report: &wire.Report{Reason: wire.ReasonScaleIn},
			Usage:  bill.Usage{Billed: 25 * time.Second, Init: 9 * time.Second, MemoryMB: 1024},
		})
		require.InDelta(t, 14, w.bill().Plain.BilledSeconds, 1e-3)
	})
}

// Ten requests that wait at the same time are billed as one, and plain Lambda would have billed ten.
func TestRequestsThatOverlapSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withMemory)
		_, first := w.up()
		leases := []*Lease{first}
		for range 9 {
			leases = append(leases, (<-w.acquire(t.Context())).lease)
		}
		time.Sleep(time.Second)
		for _, l := range leases {
			l.Release()
			l.Release() // harmless twice
		}
		b := w.bill()
		require.EqualValues(t, 10, b.Plain.Requests)
		require.EqualValues(t, 10, b.Plain.ColdStarts)
		require.InDelta(t, 10, b.Plain.GBSeconds, 1e-9, "no cold start has been measured")
		require.InDelta(t, 9*perSecond+9*perRequest, b.SavedDollars, 1e-12)
	})
}

func TestARefusedStartCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withMemory)
		w.acquire(t.Context())
		time.Sleep(100 * time.Millisecond)
		w.end(w.instances()[0], provider.End{Cause: scaler.ThrottledRate, NeverRan: true})
		require.Equal(t, operator.Bill{MemoryMB: 1024}, w.bill())
	})
}

func TestAFunctionThatFailsIsBilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withMemory)
		w.acquire(t.Context())
		w.end(w.instances()[0], provider.End{Cause: scaler.Crashed, Usage: bill.Usage{Billed: 30 * time.Millisecond, MemoryMB: 1024}})
		require.InDelta(t, 0.03*perSecond+perRequest, w.bill().Dollars, 1e-12)
	})
}

// The connection that waits for its answer breaks; the instance serves on, costs on, and is billed by the clock.
func TestAnInstanceWhoseAnswerIsLostIsBilledByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withMemory)
		id, lease := w.up()
		time.Sleep(3 * time.Second)
		w.end(id, provider.End{Cause: scaler.Network})
		time.Sleep(4 * time.Second)
		require.Equal(t, 1, w.bill().Running)
		lease.Release()
		w.Down(id, &wire.Report{Reason: wire.ReasonDeadline}, nil)
		time.Sleep(time.Minute)
		b := w.bill()
		require.EqualValues(t, 1, b.Estimated)
		require.InDelta(t, 7, b.BilledSeconds, 1e-9)
		require.Zero(t, b.Running)
	})
}

func TestPeersThatCameByThemselvesAreNotOnTheBill(t *testing.T) {
	secret, registering := static(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, registering)
		inv, err := w.Register(t.Context(), secret, wire.Registration{Function: "web", Environment: "laptop"})
		require.NoError(t, err)
		w.publish()
		w.comesUp(inv.Instance)
		lease := (<-w.acquire(t.Context())).lease
		time.Sleep(time.Second)
		lease.Release()
		w.Down(inv.Instance, nil, relays.ErrControlEnded)
		require.Zero(t, w.bill())
	})
}

func TestACeilingHoldsUnderAnyLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) {
			withMemory(f)
			f.Scaling.Concurrency, f.Scaling.DollarsPerHour = 1, 2.5*perHour
		})
		for range 20 {
			w.acquire(t.Context())
		}
		require.Len(t, w.instances(), 2)
		f := w.Functions()[0]
		require.Equal(t, "dollars", f.Blocked)
		require.Equal(t, "scaling.dollars_per_hour is 0.1500003, and one instance costs 0.0600", f.BlockedDetail)
		require.InDelta(t, 2*perHour, f.Bill.DollarsPerHour, 1e-9)

		w.publish()
		w.comesUp(w.instances()[0])
		w.end(w.instances()[0], provider.End{Report: &wire.Report{Reason: wire.ReasonShutdown}})
		require.Len(t, w.instances(), 2, "the start is not paid off yet")
		time.Sleep(20 * time.Millisecond)
		require.Len(t, w.instances(), 3)
	})
}

func TestFunctionsShareABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, api := config.DefaultFunction(), config.DefaultFunction()
		web.Name, api.Name = "web", "api"
		withMemory(&web)
		withMemory(&api)
		w := newWorldOf(t, config.Budget{DollarsPerHour: 1.5 * perHour}, web, api)
		w.acquire(t.Context())
		w.acquireFrom(t.Context(), "api")
		ids := w.instances()
		require.Len(t, ids, 1, "web was first")
		f := w.Functions()[0]
		require.Equal(t, "api", f.Name)
		require.Equal(t, "dollars_total", f.Blocked)
		require.Equal(t, "budget.dollars_per_hour leaves too little: 0.0600 is taken, and one instance costs 0.0600", f.BlockedDetail)

		w.end(ids[0], provider.End{Report: &wire.Report{Reason: wire.ReasonShutdown}})
		time.Sleep(20 * time.Millisecond)
		require.Len(t, w.instances(), 2, "nothing but the end of the other function's instance woke it")
	})
}

// A start whose connection breaks may be running: another one in its place would cost too much.
func TestAStartThatIsLostKeepsItsShareOfTheCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) {
			withMemory(f)
			f.Scaling.DollarsPerHour, f.Scaling.StartTimeout, f.Queue.Timeout = perHour*1.1, 20*time.Second, time.Hour
		})
		w.acquire(t.Context())
		w.end(w.instances()[0], provider.End{Cause: scaler.Network})
		time.Sleep(19 * time.Second)
		require.Len(t, w.instances(), 1)
		require.Equal(t, "dollars", w.Functions()[0].Blocked)
		time.Sleep(2 * time.Second)
		require.Len(t, w.instances(), 2)
	})
}

// So it does after a takeover, however soon the leader dies after it has lost it.
func TestASuccessorKeepsTheShareOfWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ceiling := func(f *config.Function) {
			withMemory(f)
			f.Scaling.DollarsPerHour, f.Scaling.StartTimeout, f.Queue.Timeout = perHour*1.1, 20*time.Second, time.Hour
		}
		before := newWorld(t, ceiling)
		before.acquire(t.Context())
		before.end(before.instances()[0], provider.End{Cause: scaler.Network})
		after := inherit(before, ceiling)
		after.acquire(t.Context())
		time.Sleep(19 * time.Second)
		require.Empty(t, after.instances())
		require.Equal(t, "dollars", after.Functions()[0].Blocked)
		time.Sleep(2 * time.Second)
		require.Len(t, after.instances(), 1)
	})
}

func TestMoreMemoryThanConfiguredMakesStartsDearer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) {
			withMemory(f)
			f.Scaling.Concurrency, f.Scaling.DollarsPerHour = 1, 4.5*perHour
		})
		w.acquire(t.Context())
		usage := bill.Usage{Billed: time.Second, MemoryMB: 2048}
		w.end(w.instances()[0], provider.End{Report: &wire.Report{Reason: wire.ReasonShutdown}, Usage: usage})
		for range 20 {
			w.acquire(t.Context())
		}
		time.Sleep(10 * time.Second)
		require.Len(t, w.instances(), 1+2)
		require.InDelta(t, 4*perHour, w.bill().DollarsPerHour, 1e-9)
	})
}

func TestClientsHearOneWordForThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Queue.Timeout = time.Second })
		got := w.acquire(t.Context())
		w.end(w.instances()[0], provider.End{Cause: scaler.ThrottledReserved, NeverRan: true})
		require.Equal(t, "throttled_reserved", w.Functions()[0].Blocked)
		require.Contains(t, w.Functions()[0].BlockedDetail, "starts fail: throttled_reserved; the next one may be tried in ")
		requireRefused(t, <-got, admission.Evicted, admission.Throttled)
		require.Equal(t, map[string]uint64{"throttled_reserved": 1}, w.Functions()[0].StartFailures)
	})
}

func TestAnOperatorNeedNotWaitForTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		w.end(w.instances()[0], provider.End{Cause: scaler.Denied, NeverRan: true})
		time.Sleep(100 * time.Millisecond)
		require.Len(t, w.instances(), 1)
		require.NoError(t, w.RetryFunction("web"))
		require.Len(t, w.instances(), 2)
		require.Empty(t, w.Functions()[0].Blocked)
		require.ErrorIs(t, w.RetryFunction("nope"), operator.ErrNotFound)
	})
}
