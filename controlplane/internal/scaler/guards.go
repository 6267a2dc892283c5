package scaler

import (
	"math/rand/v2"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bucket"
)

// A Reason says which guard holds starts back.
type Reason string

// Reasons, also metric labels.
const (
	None         Reason = ""
	AtMax        Reason = "max"              // as many instances as allowed
	NoPlace      Reason = "max_environments" // as many environments as allowed
	InProgress   Reason = "in_progress"      // enough starts on the way
	Rate         Reason = "rate"             // the token bucket is empty
	Dollars      Reason = "dollars"          // one more would cost more per hour than the function may
	DollarsTotal Reason = "dollars_total"    // one more would cost more per hour than all functions may
	AtAccount    Reason = "account"          // as many instances as the functions of one account and region may have together
	Backoff      Reason = "backoff"          // starts fail: Block.Cause
	Unreachable  Reason = "no_envoy"         // no Envoy is connected, and nobody waits
	Relayless    Reason = "no_relay"         // no relay is attached that would let its peer in
	Never        Reason = "never"            // the settings forbid starts
)

// A Block says why starts are held back.
type Block struct {
	Reason Reason
	Cause  Cause     // with Backoff
	Until  time.Time // when it ends by itself; zero: an event ends it
}

// A Load is how much of the guards' limits is in use, in instances.
type Load struct {
	Live     int // all that exist
	Starting int // starts in progress
	Rotating int // those that are being replaced, and those that drain
	Claimed  int // starts in progress for which a frozen environment was there
	Lost     int // starts in progress that take so long that nobody counts on them
	Spare    int // frozen environments that are there for further starts
}

// Guards bound starts, whatever the policy wants: by the maximum, starts in progress, the start rate, money, and the pause after
// failures.
type Guards struct {
	Breaker  Breaker
	settings Settings
	bucket   bucket.Bucket
	warm     warmBucket
	own      *Budget
	places   *Budget
	price    Price
}

// NewGuards returns guards with a full token bucket. The seed is for jitter.
func NewGuards(s Settings, seed uint64) *Guards {
	return &Guards{
		Breaker:  Breaker{rand: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))},
		settings: s,
		bucket:   bucket.New(s.StartsPerSecond, s.StartsBurst),
		own:      NewBudget(s.DollarsPerHour),
		places:   newPlaces(s.Environments),
		price:    s.Price,
	}
}

// Configure gives the guards other settings. Total stays as it was, and so do claims and failures. Running instances count in the
// new Account.
func (g *Guards) Configure(now time.Time, s Settings) {
	s.Total = g.settings.Total
	if s.Account != g.settings.Account {
		for range g.places.running() {
			g.settings.Account.Release(now, place, 0)
			s.Account.inherit(now, place)
		}
	}
	g.settings, g.price = s, s.Price
	g.bucket = g.bucket.Resized(now, s.StartsPerSecond, s.StartsBurst)
	g.own.SetCeiling(s.DollarsPerHour)
	g.places.bound(int64(max(0, s.Environments)))
}

// Most is how many instances may exist while none is being replaced.
func (g *Guards) Most() int { return min(g.settings.Most(), g.own.holds(g.price)) }

// Room is how many starts may be made now. The Block names the tightest guard; among equals, the one that says most to an operator.
func (g *Guards) Room(now time.Time, l Load) (int, Block) {
	s := g.settings
	if s.Never() {
		return 0, Block{Reason: Never}
	}
	room, block := g.Breaker.Room(now, l.Starting-l.Lost, s.StartsInProgress)
	limit := s.Max + min(l.Rotating, s.Surge())
	room, block = tighter(room, block, limit-l.Live, Block{Reason: AtMax})
	places, free := g.places.Room(now, place)
	room, block = tighter(room, block, places, Block{Reason: NoPlace, Until: free})
	warm := g.warmRoom(now, l)
	room, block = tighter(room, block, warm+max(0, s.StartsInProgress-l.Starting+l.Claimed), Block{Reason: InProgress})
	room, block = tighter(room, block, warm+g.bucket.Tokens(now), Block{Reason: Rate, Until: g.bucket.Next(now)})
	affordable, until := g.own.Room(now, g.price)
	room, block = tighter(room, block, affordable, Block{Reason: Dollars, Until: until})
	affordable, until = s.Total.Room(now, g.price)
	room, block = tighter(room, block, affordable, Block{Reason: DollarsTotal, Until: until})
	places, free = s.Account.Room(now, place)
	return tighter(room, block, places, Block{Reason: AtAccount, Until: free})
}

// warmRoom is how many starts may be made in frozen environments, beside those that the bucket allows.
func (g *Guards) warmRoom(now time.Time, l Load) int {
	return min(l.Spare, g.warm.tokens(now, l.Spare+l.Live))
}

func tighter(room int, block Block, other int, otherBlock Block) (int, Block) {
	if other = max(0, other); other < room {
		return other, otherBlock
	}
	return room, block
}

// Take accounts for up to want starts, and returns how many may be made. The Block says what holds the rest back.
func (g *Guards) Take(now time.Time, l Load, want int) (int, Block) {
	room, block := g.Room(now, l)
	n, held := g.claim(now, min(want, room))
	g.own.Claim(now, g.price, n)
	g.places.Claim(now, place, n)
	warm := min(n, g.warmRoom(now, l))
	g.warm.take(warm)
	g.bucket.Take(now, n-warm)
	switch {
	case n == want:
		return n, Block{}
	case n < min(want, room):
		return n, held
	case n > 0:
		l.Live, l.Starting = l.Live+n, l.Starting+n
		l.Claimed, l.Spare = l.Claimed+warm, l.Spare-warm
		_, block = g.Room(now, l)
	}
	return n, block
}

// claim claims for up to n starts from the budgets that functions share. Others may have claimed since Room looked, so it may get
// less.
func (g *Guards) claim(now time.Time, n int) (claimed int, held Block) {
	claimed, until := g.settings.Total.Claim(now, g.price, n)
	held = Block{Reason: DollarsTotal, Until: until}
	places, free := g.settings.Account.Claim(now, place, claimed)
	if places < claimed {
		g.settings.Total.refund(g.price, claimed-places)
		held = Block{Reason: AtAccount, Until: free}
	}
	return places, held
}

// Price is the price of a start that is made now. The caller keeps it with the start, and passes it to Release.
func (g *Guards) Price() Price { return g.price }

// Reprice sets the price of starts from now on.
func (g *Guards) Reprice(p Price) { g.price = p }

// Release says that an instance of that price has ended. Its claims on money and place are held for at least hold.
func (g *Guards) Release(now time.Time, p Price, hold time.Duration) {
	g.places.Release(now, place, hold)
	g.own.Release(now, p, hold)
	g.settings.Total.Release(now, p, hold)
	g.settings.Account.Release(now, place, hold)
}

// Inherit accounts for an instance of that price that another process has started, even if it is beyond the limits.
func (g *Guards) Inherit(now time.Time, p Price) {
	g.places.inherit(now, place)
	g.own.inherit(now, p)
	g.settings.Total.inherit(now, p)
	g.settings.Account.inherit(now, place)
}
