package dispatch

import (
	"encoding/json"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/upstream"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// inherit makes a world whose dispatcher follows another's, which has died: it hears what relays know.
func inherit(from *world, change func(*config.Function)) *world {
	from.t.Helper()
	after := newWaitingWorld(from.t, change)
	from.mu.Lock()
	for name, text := range from.notes {
		after.Noted(relays.Note{Function: name, Text: text})
	}
	after.routing = from.routing
	from.mu.Unlock()
	for _, i := range from.Instances() {
		in := relays.Inheritance{
			Instance: i.ID, Function: i.Function, Endpoint: i.Endpoint, Age: time.Since(i.StartedAt), Dollars: 1,
			Environment: i.Environment, Drain: from.drainedFor(i.ID),
		}
		up := i.Slots > 0
		if up {
			in.UpFor = in.Age / 2
		}
		after.Inherited(in)
		if up {
			after.Up(relays.Up{Instance: i.ID, Environment: i.Environment, Slots: i.Slots, Left: 10 * time.Minute, Peer: relays.Peer{
				FunctionVersion: i.FunctionVersion, Features: wire.PeerFeatures(),
			}})
			after.Load(i.ID, relays.Load{InFlight: i.InFlight})
		}
	}
	after.Start()
	synctest.Wait()
	return after
}

// Whoever takes over goes on with what runs: it leases what is free, and starts nothing that is there.
func TestASuccessorGoesOnWithWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newWorld(t, nil)
		id, _ := before.up()
		time.Sleep(time.Second)
		after := inherit(before, nil)

		got := <-after.acquire(t.Context())
		require.NoError(t, got.err)
		lease := got.lease
		require.Equal(t, "/e/web/0000", lease.Endpoint())
		require.Empty(t, after.instances(), "nothing is invoked")
		f := after.Functions()[0]
		require.Equal(t, 10, f.Capacity)
		require.Equal(t, 1, f.Foreign, "the request that the leader before had leased")
		require.Equal(t, 8, f.Free)
		lease.Release()

		after.Down(id, &wire.Report{Reason: wire.ReasonScaleIn}, nil)
		synctest.Wait()
		require.Empty(t, after.Instances(), "its goodbye is its end: the answer of its invocation went to the leader before")
		require.EqualValues(t, 1, after.Functions()[0].Bill.Estimated)
	})
}

// A start that was on its way is waited for, and not made again.
func TestASuccessorWaitsForAStartThatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newWorld(t, nil)
		before.acquire(t.Context())
		id := before.instances()[0]
		after := inherit(before, nil)
		waiting := after.acquire(t.Context())
		require.Empty(t, after.instances())
		after.publish()
		after.comesUp(id)
		synctest.Wait()
		require.NoError(t, (<-waiting).err)
	})
}

// Starts that the leader before gave up have not failed by themselves: requests go on waiting, and other starts are made.
func TestStartsThatWereGivenUpHoldNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newWorld(t, func(f *config.Function) { f.Scaling.Concurrency = 1 })
		for range 2 * scaler.OpenAfter {
			before.acquire(t.Context())
		}
		given := before.instances()
		require.GreaterOrEqual(t, len(given), scaler.OpenAfter)
		after := inherit(before, func(f *config.Function) { f.Scaling.Concurrency = 1 })
		for _, id := range given {
			after.Down(id, nil, relays.ErrForgotten)
		}
		waiting := after.acquire(t.Context())
		require.Empty(t, waiting, "it waits")
		require.Len(t, after.instances(), 1, "for a start of its own")
	})
}

// The relay of an instance that was taken over is gone, and another one is there: nobody will say how it ended. It has not crashed.
func TestAnInheritedInstanceEndsWhenItsRelayIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newWorld(t, nil)
		id, lease := before.up()
		lease.Release()
		after := inherit(before, nil)
		after.publish()
		after.Away(id)
		require.Equal(t, 1, after.Functions()[0].Down)
		after.Down(id, nil, relays.ErrReplaced)
		require.Equal(t, map[string]uint64{"network": 1}, after.Functions()[0].Ends)
		requireIdle(t, after)
	})
}

// What has been learned is not learned anew: environments that are frozen are counted on.
func TestASuccessorKnowsWhatWasLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newWorld(t, nil)
		id, lease := before.up()
		lease.Release()
		before.Down(id, &wire.Report{Reason: wire.ReasonScaleIn}, nil)
		before.end(id, provider.End{Report: &wire.Report{Reason: wire.ReasonScaleIn}})
		require.Equal(t, 1, before.Functions()[0].Frozen)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		after := inherit(before, nil)
		require.Equal(t, 1, after.Functions()[0].Frozen)
		require.EqualValues(t, 1, after.Functions()[0].Bill.Invocations)
	})
}

// An instance that drained for somebody goes on draining, and one that was told to finish is not leased.
func TestASuccessorGoesOnWithDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newWorld(t, nil)
		id, _ := before.up()
		require.NoError(t, before.DrainInstance(id))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		after := inherit(before, nil)
		require.Equal(t, "draining", after.Instances()[0].State)
		require.Equal(t, "operator", after.Instances()[0].DrainReason)
		require.Empty(t, after.drainedFor(id), "its request goes on")
		after.Load(id, relays.Load{})
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, wire.ReasonOperator, after.drainedFor(id))
	})
}

// What the configuration has no place for finishes; a relay that makes things up disturbs nothing.
func TestWhatHasNoPlaceFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, nil)
		for _, in := range []relays.Inheritance{
			{Instance: "nameless", Function: "../shop", Endpoint: "../shop/0000"},
			{Instance: "stray", Function: "web", Endpoint: "shop/0000"},
			{Instance: "far", Function: "web", Endpoint: "web/999999999999"},
			{Instance: "odd", Function: "web", Endpoint: "web/-1"},
		} {
			w.Inherited(in)
			require.Equal(t, wire.ReasonOperator, w.drainedFor(in.Instance))
		}
		w.Inherited(relays.Inheritance{Instance: "first", Function: "web", Endpoint: "web/0003", Age: -time.Hour, Memo: []byte("?")})
		w.Inherited(relays.Inheritance{Instance: "second", Function: "web", Endpoint: "web/0003"})
		require.Equal(t, wire.ReasonOperator, w.drainedFor("second"), "the endpoint is another's")
		w.Noted(relays.Note{Function: "web", Text: []byte("{")})
		w.Start()
		require.Len(t, w.Instances(), 1)
	})
}

// A function is not invoked for an instance that no relay lets in.
func TestWhatNobodyExpectsIsNotInvoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.refuse(true)
		waiting := w.acquire(t.Context())
		synctest.Wait()
		require.Empty(t, w.instances())
		require.NotZero(t, w.Functions()[0].StartFailures[string(scaler.Unknown)])
		w.refuse(false)
		time.Sleep(time.Minute)
		w.publish()
		for _, id := range w.instances() {
			w.comesUp(id)
		}
		synctest.Wait()
		select {
		case <-waiting:
		default:
			t.Fatal("the request still waits")
		}
	})
}

// A rollout goes on where the leader that began it has died, with what was replaced already; what was given up stays away.
func TestASuccessorGoesOnWithARollout(t *testing.T) {
	for name, tt := range map[string]struct {
		first, second provider.Routing
		version       string
	}{"alias": {to("1"), to("2"), "2"}, "$LATEST": {provider.Routing{Revision: "a"}, provider.Routing{Revision: "b"}, "$LATEST"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				held := func(f *config.Function) { f.Scaling.Min, f.Rollout.Hold = 2, time.Hour }
				before := newDeployed(t, tt.first, held)
				old := before.instances()
				before.routes(tt.second, nil)
				require.Equal(t, "watching", before.status().Rollout.Phase)
				after := inherit(before, func(f *config.Function) { f.Scaling.Min, f.Rollout.Hold = 2, time.Second })
				after.routes(tt.second, nil)
				after.pass(10 * time.Second)
				require.Equal(t, map[string]int{tt.version: 2}, after.status().Versions)
				for _, id := range old {
					require.NotEmpty(t, before.drainedFor(id)+after.drainedFor(id), "replaced")
				}
				require.Equal(t, map[string]uint64{"done": 1}, after.status().Rollouts)
			})
		})
	}
}

// A note says that all instances run the new code only after the rollout to it, or a successor would leave the old ones.
func TestANoteNeverNamesCodeBeforeItsRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, provider.Routing{Revision: "0"}, nil)
		f := w.named("web")
		code := func() provider.Routing {
			f.mu.Lock()
			defer f.mu.Unlock()
			return *f.versions.updateSettled(f.pool.Rollout())
		}
		for n := range 100 {
			read := make(chan struct{})
			go func() {
				defer close(read)
				f.routed(provider.Routing{Revision: strconv.Itoa(n + 1)})
			}()
			for reading := true; reading; {
				select {
				case <-read:
					reading = false
				default:
				}
				require.Equal(t, strconv.Itoa(n), code().Revision)
				runtime.Gosched()
			}
			require.NoError(t, w.AbortRollout("web"))
		}
	})
}

func TestASuccessorDoesNotTryAgainWhatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minimum := func(f *config.Function) { f.Scaling.Min = 2 }
		before := newDeployed(t, to("1"), minimum)
		before.failure = provider.End{Cause: scaler.InitFailed}
		before.failing = func(version string) bool { return version == "2" }
		before.routes(to("2"), nil)
		before.pass(10 * time.Second)
		require.Equal(t, map[string]uint64{"init_failed": 1}, before.status().Rollouts)
		after := inherit(before, minimum)
		after.routes(to("2"), nil)
		after.pass(10 * time.Second)
		require.Empty(t, after.instances())
		require.Equal(t, map[string]int{"1": 2}, after.status().Versions)
	})
}

// However much there is to write down, a relay takes it: it refuses all that a leader says with a note that is too long.
func TestANoteIsNeverTooLongForARelay(t *testing.T) {
	n := note{Drains: map[string]pool.Reason{}}
	for i := range scaler.MaxFrozen {
		name := strconv.Itoa(i) + strings.Repeat("e", wire.MaxID-10)
		n.Pool.Fleet.Frozen = append(n.Pool.Fleet.Frozen, scaler.FrozenNote{Name: name})
	}
	n.Drains["one"] = pool.Rotation
	text, err := n.text()
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), tables.MaxNote)
	var got note
	require.NoError(t, json.Unmarshal(text, &got))
	kept := got.Pool.Fleet.Frozen
	require.NotEmpty(t, kept)
	require.Equal(t, n.Pool.Fleet.Frozen[scaler.MaxFrozen-1], kept[len(kept)-1], "those that froze last count")
	require.Equal(t, n.Drains, got.Drains)

	for i := range 5000 {
		n.Drains[strings.Repeat("i", 16)+strconv.Itoa(i)] = pool.Rotation
	}
	text, err = n.text()
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), tables.MaxNote)
}

// Two relays may tell of one instance.
func TestAnInstanceOfTwoRelaysIsTakenOverOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, nil)
		in := relays.Inheritance{Instance: "one", Function: "web", Endpoint: "web/0000", Dollars: 1}
		w.Inherited(in)
		w.Inherited(in)
		w.Start()
		require.Len(t, w.Instances(), 1)
		require.Empty(t, w.drainedFor("one"))
	})
}

// A relay that has been started again has not heard yet of a peer that dials it again: requests that find nobody else wait for that one. A
// start that was under way has never been up.
func TestAnInheritedInstanceThatWasUpIsForWhomNoOtherServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, nil)
		w.Inherited(relays.Inheritance{Instance: "up", Function: "web", Endpoint: "web/0000", Age: time.Minute, UpFor: time.Second})
		w.Inherited(relays.Inheritance{Instance: "starts", Function: "web", Endpoint: "web/0001", Age: time.Second})
		w.Start()
		synctest.Wait()
		require.Equal(t, upstream.Degraded, w.health("/e/web/0000"))
		require.Equal(t, upstream.Unhealthy, w.health("/e/web/0001"))
	})
}

// noteOrder is a relay that reads how many requests the notes count.
type noteOrder struct {
	commands
	last atomic.Uint64
	back atomic.Bool // a note came after a later one
}

func (o *noteOrder) Note(_ string, text []byte) {
	var n note
	_ = json.Unmarshal(text, &n)
	runtime.Gosched() // as a relay's lock would
	o.back.Store(o.back.Load() || o.last.Swap(n.Bill.Requests) > n.Bill.Requests)
}

// Whoever writes notes at the same time, the next leader gets the latest.
func TestNotesAreGivenInOrder(t *testing.T) {
	w := newWaitingWorld(t, func(c *config.Function) { c.Scaling.Min = 1 })
	order := &noteOrder{commands: commands{w}}
	w.relay = order
	w.Inherited(relays.Inheritance{Instance: "one", Function: "web", Endpoint: "web/0000", Age: time.Minute, UpFor: time.Minute})
	w.comesUp("one")
	w.Load("one", relays.Load{})
	w.Start()
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 1000 {
				l, err := w.Acquire(t.Context(), admission.Request{Function: "web"})
				if assert.NoError(t, err) {
					l.Release()
				}
				w.WriteNotes()
			}
		})
	}
	writers.Wait()
	require.Positive(t, order.last.Load())
	require.False(t, order.back.Load())
}
