package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A liar is a relay that tells anything that its leader's decoder lets through, in any order.
type liar struct {
	*world
	rand *rand.Rand
}

func pick[T any](l *liar, of ...T) T { return of[l.rand.IntN(len(of))] }

func (l *liar) span() time.Duration {
	return pick[time.Duration](l, 0, 1, -1, time.Millisecond, time.Second, -time.Hour, 15*time.Minute, 1000*time.Hour, math.MaxInt64, math.MinInt64)
}

func (l *liar) id() string {
	if own := l.instances(); len(own) > 0 && l.rand.IntN(2) == 0 {
		return own[l.rand.IntN(len(own))]
	}
	return fmt.Sprint("i", l.rand.IntN(12))
}

func (l *liar) function() string { return pick(l, "web", "web", "web", "shop", "gone", "a b", "") }

func (l *liar) peer() relays.Peer {
	return relays.Peer{
		Build: pick(l, "", "v9"), Features: pick(l, nil, wire.PeerFeatures()), FunctionVersion: pick(l, "", "1", "$LATEST", "x"), RequestID: pick(l, "", "r"),
	}
}

func (l *liar) word() string {
	return pick(l, "", "rotation", "operator", "rollout", "worn", "deadline", "nothing that is known", string(wire.NoticeSerialApp), "wears_memory")
}

func (l *liar) count() uint64 { return pick[uint64](l, 0, 1, 2, 1000, math.MaxInt64, math.MaxUint64) }

func (l *liar) tells() {
	switch id := l.id(); l.rand.IntN(11) {
	case 0, 1:
		function := l.function()
		l.Inherited(relays.Inheritance{
			Instance: id, Function: function, Endpoint: fmt.Sprintf("%s/%04d", function, pick(l, 0, 1, 2, 7, 70)), Dollars: pick[float64](l, 0, 0.06, 1e6),
			Memo: pick(l, nil, []byte("{"), []byte(`{"pin":"3","slots":-5}`), []byte(`{"slots":1000000000}`)), Age: l.span(), UpFor: l.span(),
			Cold: l.rand.IntN(2) == 0, Environment: pick(l, "", "e1", "e2"), Drain: wire.Reason(l.word()),
		})
	case 2:
		l.Expected(id)
	case 3:
		l.Waiting(relays.Waiting{Instance: id, Environment: pick(l, "", "e1"), What: pick(l, "", "what"), Peer: l.peer()})
	case 4, 5:
		l.Up(relays.Up{Instance: id, Environment: pick(l, "", "e1", "e2"), Slots: pick(l, 0, 1, 10, wire.MaxSlots), Cold: l.rand.IntN(2) == 0, Left: l.span(), Peer: l.peer()})
	case 6:
		l.Load(id, relays.Load{
			InFlight: pick(l, 0, 1, 5, wire.MaxSlots), Requests: l.count(), Answers: l.count(), Errors: l.count(), Memory: pick[int64](l, 0, -1, math.MaxInt64), Way: l.span(),
		})
	case 7:
		l.Notice(id, wire.Notice(l.word()))
	case 8:
		l.Draining(id, wire.Reason(l.word()))
	case 9:
		pick(l, func() { l.Lost(id, errors.New("lost")) }, func() { l.Away(id) }, func() { l.Attached(l.rand.IntN(3) > 0) })()
	case 10:
		var report *wire.Report
		if l.rand.IntN(2) == 0 {
			report = &wire.Report{Version: wire.Version, Instance: "another", Reason: wire.Reason(l.word()), Requests: -1, Served: wire.Millis(l.span()), Worn: wire.Notice(l.word())}
		}
		l.Down(id, report, pick(l, relays.ErrControlEnded, relays.ErrNeverDialled, relays.ErrForgotten, errors.New("broken")))
	}
}

// note is a note with some of its numbers replaced.
func (l *liar) note(text []byte) []byte {
	var tree any
	if json.Unmarshal(text, &tree) != nil {
		return text
	}
	out, err := json.Marshal(l.twist(tree))
	require.NoError(l.t, err)
	return out
}

func (l *liar) twist(tree any) any {
	if l.rand.IntN(8) == 0 {
		return pick[any](l, nil, -1, 1e18, -1e18, 0.5, "text", []any{}, map[string]any{})
	}
	switch tree := tree.(type) {
	case map[string]any:
		for name := range tree {
			tree[name] = l.twist(tree[name])
		}
	case []any:
		for n := range tree {
			tree[n] = l.twist(tree[n])
		}
	}
	return tree
}

// A relay that tells anything breaks nothing: each pool stays consistent, bills and claims stay numbers, no more starts than may be, and what it
// made up is gone once it says that it has ended.
func TestARelayThatTellsAnythingBreaksNothing(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { lies(t, seed, seed%5 == 4) })
		})
	}
}

func lies(t *testing.T, seed uint64, toCaretaker bool) {
	before := newWorld(t, nil)
	_, lease := before.up()
	time.Sleep(2 * time.Second)
	lease.Release()
	synctest.Wait()
	limited := func(f *config.Function) {
		f.Scaling.Max, f.Lambda.MemoryMB, f.Scaling.Concurrency = 4, 1024, int(seed%3)
		f.Scaling.DollarsPerHour = 0.5
	}
	l := &liar{newWaitingWorldWith(t, Options{Configuration: Configuration{Functions: webFunctions(limited)}, Caretaker: toCaretaker}), rand.New(rand.NewPCG(seed, 9))}
	before.mu.Lock()
	notes := maps.Clone(before.notes)
	before.mu.Unlock()
	for name, text := range notes {
		l.Noted(relays.Note{Function: name, Text: l.note(text), Age: l.span()})
	}
	for range 10 {
		l.tells()
	}
	l.lead()
	ctx, leave := context.WithCancel(t.Context())
	for range 300 {
		l.tells()
		if l.rand.IntN(4) == 0 {
			one, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			l.acquire(one)
		}
		l.publish()
		time.Sleep(pick(l, time.Millisecond, 50*time.Millisecond, time.Second, 10*time.Second))
		synctest.Wait()
		l.holds()
	}
	leave()
	synctest.Wait()
	for _, i := range l.Instances() {
		l.Down(i.ID, &wire.Report{Reason: wire.ReasonScaleIn}, nil)
		if l.ends[i.ID] != nil {
			l.end(i.ID, provider.End{Report: &wire.Report{}})
		}
	}
	synctest.Wait()
	l.holds()
}

func (l *liar) holds() {
	for _, f := range l.list() {
		f.mu.Lock()
		require.NoError(l.t, f.pool.Check())
		stats := f.pool.Stats()
		f.mu.Unlock()
		require.GreaterOrEqual(l.t, stats.Live(), 0)
	}
	for _, f := range l.Functions() {
		for name, n := range map[string]float64{"cost": f.Bill.Dollars, "per hour": f.Bill.DollarsPerHour, "plain": f.Bill.Plain.Dollars} {
			require.False(l.t, math.IsNaN(n) || math.IsInf(n, 0) || n < 0, "%s of %s is %v", name, f.Name, n)
		}
		require.GreaterOrEqual(l.t, f.Free, 0)
		require.GreaterOrEqual(l.t, f.Foreign, 0)
	}
}

// What a relay says of ages costs nobody more than Lambda can have billed.
func TestAnAgeThatCannotBeIsNotBilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, func(f *config.Function) { f.Lambda.MemoryMB = 1024 })
		hour := config.Default().Pricing.Rates(config.ArchitectureX86).PerHour(1024)
		for n, age := range []time.Duration{math.MaxInt64, -math.MaxInt64, 1000 * time.Hour} {
			id := fmt.Sprint("i", n)
			w.Inherited(relays.Inheritance{Instance: id, Function: "web", Endpoint: fmt.Sprintf("web/%04d", n), Age: age, UpFor: age})
			w.Down(id, nil, relays.ErrControlEnded)
		}
		w.lead()
		require.Empty(t, w.Instances())
		require.Positive(t, w.bill().Dollars)
		require.Less(t, w.bill().Dollars, 2.1*hour)
	})
}

// A note with numbers that nothing can have cost is not added to the bill.
func TestANoteWithImpossibleSumsIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, nil)
		w.Noted(relays.Note{Function: "web", Text: []byte(`{"bill":{"gb_seconds":-1e18,"invocations":18446744073709551615}}`)})
		w.lead()
		require.Zero(t, w.bill().Dollars)
		require.Zero(t, w.bill().Invocations)
	})
}

// A relay that names a thousand functions with far endpoints does not fill memory, here and in every Envoy.
func TestEndpointsOfFunctionsThatARelayMakesUpAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, nil)
		last := func(function string) relays.Inheritance {
			return relays.Inheritance{Instance: "of-" + function, Function: function, Endpoint: fmt.Sprintf("%s/%d", function, maxIndex)}
		}
		for n := range 30 {
			w.Inherited(last(fmt.Sprint("made-up-", n)))
		}
		published := 0
		for _, f := range w.list() {
			published += len(w.Endpoints(f.name, nil))
		}
		require.LessOrEqual(t, published, maxStrange)
		w.Inherited(last("web"))
		require.Empty(t, w.drainedFor("of-web"), "what is configured has its own")
		w.lead()
		for _, i := range w.Instances() {
			w.Down(i.ID, nil, relays.ErrNeverDialled)
		}
		synctest.Wait()
		require.Equal(t, []string{"web"}, w.names())
		require.Zero(t, w.strange.Load(), "they have left")
	})
}
