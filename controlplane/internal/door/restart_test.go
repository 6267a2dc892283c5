package door

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What a stranger's handshake costs and takes in the tests below, about as measured, and how long its other end waits.
const (
	hello   = 300 * time.Microsecond
	request = 100 * time.Microsecond
	network = 20 * time.Millisecond
	dial    = 1500 * time.Millisecond
)

// limits are a relay's with two cores and 20,000 descriptors.
var limits = Limits{Places: 5000, Turns: 2, Begun: 2048, Attempts: 256, Refill: 50}

// handshake is one connection of a peer's, and tells whether that was let in.
func handshake(ctx context.Context, d *Door, from netip.Addr, good bool) bool {
	ctx, cancel := context.WithTimeout(ctx, dial)
	defer cancel()
	v := d.Enter(from, ignore)
	defer v.Leave()
	time.Sleep(network)
	if v.Begin(ctx) != nil {
		return false
	}
	time.Sleep(hello)
	v.Pause()
	time.Sleep(network)
	if v.Resume() != nil {
		return false
	}
	time.Sleep(request)
	return good && ctx.Err() == nil && v.Admit() == nil
}

// redial is a peer that dials until it is let in.
func redial(ctx context.Context, d *Door, from netip.Addr) {
	for pause := 20 * time.Millisecond; !handshake(ctx, d, from, true) && ctx.Err() == nil; pause = min(2*pause, time.Second) {
		time.Sleep(pause/2 + rand.N(pause/2))
	}
}

// flood dials so many times a second until ctx ends. Each stays for as long as it may.
func flood(ctx context.Context, perSecond int, dial func()) {
	for ctx.Err() == nil {
		go dial()
		time.Sleep(time.Second / time.Duration(perSecond))
	}
}

// Functions behind a NAT are one address. All come up after a restart, whatever strangers do behind another one, and
// beside them.
func TestLongThousandsOfPeersOfOneAddress(t *testing.T) {
	count := 5000
	if testing.Short() {
		count = 1000
	}
	silence := func(ctx context.Context, d *Door, from netip.Addr) func() {
		return func() {
			v := d.Enter(from, ignore)
			time.Sleep(dial)
			v.Leave()
		}
	}
	badToken := func(ctx context.Context, d *Door, from netip.Addr) func() {
		return func() { handshake(ctx, d, from, false) }
	}
	oneByte := func(ctx context.Context, d *Door, from netip.Addr) func() {
		return func() {
			v := d.Enter(from, ignore)
			defer v.Leave()
			if v.Begin(ctx) == nil {
				v.Pause()
				time.Sleep(5 * time.Second)
			}
		}
	}
	for name, c := range map[string]struct {
		stranger  func(context.Context, *Door, netip.Addr) func()
		from      netip.Addr
		perSecond int
		within    time.Duration
	}{
		"alone":                     {nil, there, 0, 6 * time.Second},
		"beside silent ones":        {silence, here, 4000, 6 * time.Second},
		"beside bad tokens":         {badToken, here, 45, 6 * time.Second},
		"beside more bad tokens":    {badToken, here, 65, time.Minute}, // than an address may try: the last peers come late
		"bad tokens from elsewhere": {badToken, there, 2000, 6 * time.Second},
		"slow ones from elsewhere":  {oneByte, there, 2000, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				d := New(limits)
				if c.stranger != nil {
					go flood(ctx, c.perSecond, c.stranger(ctx, d, c.from))
					time.Sleep(5 * time.Second)
				}
				began := time.Now()
				var peers sync.WaitGroup
				for range count {
					peers.Go(func() {
						var both sync.WaitGroup
						both.Go(func() { redial(ctx, d, here) })
						both.Go(func() { redial(ctx, d, here) })
						both.Wait()
					})
				}
				peers.Wait()
				t.Log(time.Since(began))
				require.Less(t, time.Since(began), c.within)
				cancel()
				time.Sleep(time.Minute)
			})
		})
	}
}

// A function that is let in no more dials as fast as it can.
func TestWhatOneAddressCostsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := New(limits)
		var turns atomic.Int64
		go flood(ctx, 5000, func() {
			v := d.Enter(here, ignore)
			defer v.Leave()
			dialling, end := context.WithTimeout(ctx, dial)
			defer end()
			if v.Begin(dialling) == nil {
				turns.Add(1)
				time.Sleep(hello)
			}
		})
		time.Sleep(10 * time.Second)
		cancel()
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, turns.Load(), int64(limits.Attempts+int(10*limits.Refill)+1))
	})
}
