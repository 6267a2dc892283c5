package door

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("192.0.2.2")
)

func ignore() {}

// began enters and begins, which must not block.
func began(t *testing.T, d *Door, from netip.Addr) *Visit {
	t.Helper()
	v := d.Enter(from, ignore)
	require.NoError(t, v.Begin(t.Context()))
	return v
}

func TestTheOldestSilentOneGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 3, Turns: 1, Begun: 10, Attempts: 10, Refill: 1})
		speaks := began(t, d, here)
		speaks.Pause()
		var gone []string
		first := d.Enter(here, func() { gone = append(gone, "first") })
		second := d.Enter(here, func() { gone = append(gone, "second") })
		time.Sleep(time.Second)
		d.Enter(here, func() { gone = append(gone, "third") })
		require.Equal(t, []string{"first"}, gone)
		require.True(t, first.GaveWay())
		require.ErrorIs(t, first.Begin(t.Context()), ErrGaveWay)
		require.ErrorIs(t, first.Admit(), ErrGaveWay)
		require.False(t, second.GaveWay())
		require.False(t, speaks.GaveWay())
		require.Equal(t, 3, d.Standing())
	})
}

// With slow handshakes in every place, a newcomer is not the one to go: its first byte needs a round trip.
func TestOneThatHasJustComeIsNotTheFirstToGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 2, Turns: 1, Begun: 10, Attempts: 10, Refill: 1})
		slow, slower := began(t, d, here), d.Enter(here, ignore)
		slow.Pause()
		require.NoError(t, slower.Begin(t.Context()))
		slower.Pause()
		newcomer := d.Enter(there, ignore)
		require.True(t, slow.GaveWay())
		require.ErrorIs(t, slow.Resume(), ErrGaveWay)
		require.False(t, slower.GaveWay())
		require.NoError(t, newcomer.Begin(t.Context()))
	})
}

func TestAnAddressWithMoreThanItsShareGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 4 * leastShare
		d := New(Limits{Places: places, Turns: 1, Begun: 10, Attempts: 10, Refill: 1})
		old := d.Enter(there, ignore)
		time.Sleep(time.Second)
		var flood []*Visit
		for range places - 1 {
			flood = append(flood, d.Enter(here, ignore))
		}
		require.Equal(t, places, d.Standing(), "most places while nobody else asks")
		time.Sleep(time.Second)
		for n := range 10 {
			d.Enter(netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}), ignore)
			require.True(t, flood[n].GaveWay())
			require.False(t, flood[n+1].GaveWay())
		}
		require.False(t, old.GaveWay(), "older, and of an address that has one")
	})
}

func TestAnIPv6NetworkIsOneAddress(t *testing.T) {
	for name, want := range map[string]string{
		"192.0.2.1":         "192.0.2.1",
		"::ffff:192.0.2.1":  "192.0.2.1",
		"2001:db8:1:2:3::4": "2001:db8:1:2::",
		"2001:db8:1:2::9":   "2001:db8:1:2::",
		"2001:db8:1:3::9":   "2001:db8:1:3::",
		"fe80::1%eth0":      "fe80::",
		"::1":               "::",
	} {
		require.Equal(t, want, keyOf(netip.MustParseAddr(name)).String(), name)
	}
}

// Few compute at once. What has begun comes before what has not, and of that the newest comes first.
func TestTurnsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 10, Turns: 1, Begun: 10, Attempts: 10, Refill: 1})
		begun := began(t, d, here)
		begun.Pause()
		first := began(t, d, here)
		order := make(chan string, 3)
		waits := func(name string, turn func() error, end func()) {
			go func() {
				require.NoError(t, turn())
				order <- name
				end()
			}()
			synctest.Wait()
		}
		for _, name := range []string{"old", "new"} {
			v := d.Enter(here, ignore)
			waits(name, func() error { return v.Begin(t.Context()) }, v.Leave)
		}
		waits("begun", begun.Resume, begun.Leave)
		require.Empty(t, order)
		first.Pause()
		first.Pause()
		synctest.Wait()
		for _, want := range []string{"begun", "new", "old"} {
			require.Equal(t, want, <-order)
		}
		first.Leave()
		first.Leave()
		require.Zero(t, d.Standing())
	})
}

func TestWaitingForATurnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 10, Turns: 1, Begun: 10, Attempts: 10, Refill: 1})
		first := began(t, d, here)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		late := d.Enter(here, ignore)
		require.ErrorIs(t, late.Begin(ctx), context.DeadlineExceeded)
		ended := make(chan error, 1)
		go func() {
			v := d.Enter(here, ignore)
			ended <- v.Begin(t.Context())
		}()
		synctest.Wait()
		d.Shut()
		require.ErrorIs(t, <-ended, ErrGaveWay)
		require.True(t, first.GaveWay(), "shut is for all")
		require.Zero(t, d.Standing())
		called := false
		require.ErrorIs(t, d.Enter(here, func() { called = true }).Begin(t.Context()), ErrGaveWay)
		require.True(t, called)
	})
}

// An address gets few turns in vain, and as many as it likes with valid tokens.
func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 100, Turns: 2, Begun: 5, Attempts: 5, Refill: 10})
		for range 50 {
			require.NoError(t, began(t, d, here).Admit())
		}
		for range 5 {
			began(t, d, here).Leave()
		}
		began(t, d, there).Leave()
		before := time.Now()
		for range 10 {
			began(t, d, here).Leave()
		}
		require.Equal(t, time.Second, time.Since(before))
		v := d.Enter(here, ignore)
		good := make(chan struct{})
		go func() {
			defer close(good)
			require.NoError(t, v.Begin(t.Context()))
			require.NoError(t, v.Admit())
		}()
		<-good
	})
}

// Slow strangers use no attempts up while they are in the middle of it, up to a limit.
func TestAsManyAsMayHaveBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 10, Turns: 1, Begun: 3, Attempts: 1, Refill: 0.001})
		var slow []*Visit
		for range 3 {
			v := began(t, d, here)
			v.Pause()
			slow = append(slow, v)
		}
		next := make(chan error, 1)
		go func() { next <- d.Enter(here, ignore).Begin(t.Context()) }()
		synctest.Wait()
		require.Empty(t, next)
		began(t, d, there).Leave()
		require.NoError(t, slow[0].Admit())
		require.NoError(t, <-next)
	})
}

// What several had begun at once and none finished is owed: an address gets no more for it than one after the other would.
func TestAttemptsAreOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 10, Turns: 1, Begun: 5, Attempts: 1, Refill: 1})
		var stalled []*Visit
		for range 5 {
			v := began(t, d, here)
			v.Pause()
			stalled = append(stalled, v)
		}
		for _, v := range stalled {
			v.Leave()
		}
		before := time.Now()
		began(t, d, here).Leave()
		require.Equal(t, 5*time.Second, time.Since(before))
	})
}

// A stranger that waits for its first turn goes before one that has had it.
func TestWhatWasBegunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 2, Turns: 1, Begun: 1, Attempts: 10, Refill: 1})
		begun := began(t, d, here)
		begun.Pause()
		waits := make(chan error, 1)
		go func() { waits <- d.Enter(here, ignore).Begin(t.Context()) }()
		synctest.Wait()
		d.Enter(there, ignore)
		require.ErrorIs(t, <-waits, ErrGaveWay)
		require.NoError(t, begun.Resume())
		require.NoError(t, begun.Admit())
	})
}

func TestAddressesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{Places: 10, Turns: 1, Begun: 5, Attempts: 5, Refill: 1})
		for n := range 200 {
			began(t, d, netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})).Leave()
		}
		time.Sleep(2 * sweepEvery)
		d.Enter(here, ignore)
		require.Len(t, d.addresses, 1)
	})
}

// Whatever strangers do, the counts are right and nobody waits in vain.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			d := New(Limits{Places: rapid.IntRange(1, 8).Draw(rt, "places"), Turns: rapid.IntRange(1, 3).Draw(rt, "turns"), Begun: rapid.IntRange(1, 4).Draw(rt, "begun"), Attempts: 3, Refill: 2})
			ctx, cancel := context.WithCancel(t.Context())
			for n := range rapid.IntRange(1, 40).Draw(rt, "strangers") {
				from := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 2).Draw(rt, "address"))})
				silence := time.Duration(rapid.IntRange(0, 1000).Draw(rt, "silence")) * time.Millisecond
				steps, good := rapid.IntRange(0, 3).Draw(rt, "steps"), rapid.Bool().Draw(rt, "good")
				go stranger(ctx, d, from, silence, steps, good)
				time.Sleep(time.Duration(rapid.IntRange(0, 300).Draw(rt, "pause")) * time.Millisecond)
				if n%7 == 6 {
					d.Relieve(2)
				}
				synctest.Wait()
				check(t, d)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Zero(t, d.Standing(), "all ended")
			check(t, d)
			cancel()
		})
	})
}

func stranger(ctx context.Context, d *Door, from netip.Addr, silence time.Duration, steps int, good bool) {
	v := d.Enter(from, ignore)
	defer v.Leave()
	time.Sleep(silence)
	if v.Begin(ctx) != nil {
		return
	}
	for range steps {
		time.Sleep(10 * time.Millisecond)
		v.Pause()
		time.Sleep(30 * time.Millisecond)
		if v.Resume() != nil {
			return
		}
	}
	if good {
		_ = v.Admit()
	}
}

func check(t *testing.T, d *Door) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	standing, working, present := map[netip.Addr]int{}, 0, 0
	for e := d.silent.Front(); e != nil; e = e.Next() {
		standing[e.Value.(*Visit).from]++
	}
	for e := d.spoken.Front(); e != nil; e = e.Next() {
		v := e.Value.(*Visit)
		standing[v.from]++
		require.NotContains(t, []state{ended, inTurn}, v.state)
	}
	begun := map[netip.Addr]int{}
	for e := d.begun.Front(); e != nil; e = e.Next() {
		v := e.Value.(*Visit)
		standing[v.from]++
		begun[v.from]++
		require.NotEqual(t, ended, v.state)
		if v.state == inTurn {
			working++
		}
	}
	for key, a := range d.addresses {
		require.Equal(t, standing[key], a.standing)
		if a.standing > 0 {
			present++
		}
		require.Equal(t, begun[key], a.begun)
		require.LessOrEqual(t, a.begun, d.limits.Begun)
		waits := a.waiting.Len() > 0 && a.attempts.Tokens(time.Now()) > 0 && a.begun < d.limits.Begun
		require.False(t, waits && d.turns > 0, "one waits beside a free turn and an attempt")
	}
	require.Equal(t, present, d.present)
	require.LessOrEqual(t, d.standingLocked(), d.limits.Places)
	require.Equal(t, d.limits.Turns, d.turns+working)
	require.False(t, d.again.Len() > 0 && d.turns > 0)
}
