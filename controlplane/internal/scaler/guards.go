package scaler

import (
	"math/rand/v2"
	"time"
)

// A Reason says which guard withholds starts.
type Reason string

// Reasons, also metric labels.
const (
	None       Reason = ""
	AtMax      Reason = "max"         // as many instances as allowed
	InProgress Reason = "in_progress" // enough starts on the way
	Rate       Reason = "rate"        // the token bucket is empty
	Backoff    Reason = "backoff"     // starts fail: Block.Cause
	Never      Reason = "never"       // the settings forbid starts
)

// A Block tells the operator why starts are withheld.
type Block struct {
	Reason Reason
	Cause  Cause     // with Backoff
	Until  time.Time // when it ends by itself; zero: some event ends it
}

// A Load is what of the guards' limits is in use, in instances.
type Load struct {
	Live     int // all that exist
	Starting int // starts in progress
	Rotating int // ready ones that are to be replaced
}

// Guards compose all that bounds starts, whatever the policy wants: the maximum, starts in progress, the start rate, and
// the pace after failures.
type Guards struct {
	Breaker  Breaker
	settings Settings
	bucket   Bucket
}

// NewGuards returns guards with a full token bucket. The seed is for jitter.
func NewGuards(s Settings, seed uint64) *Guards {
	return &Guards{
		Breaker:  Breaker{rand: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))},
		settings: s,
		bucket:   NewBucket(s.StartsPerSecond, s.StartsBurst),
	}
}

// Room is how many starts may be made now. The Block names the guard that is the tightest, the one that tells most if
// several are.
func (g *Guards) Room(now time.Time, l Load) (int, Block) {
	s := g.settings
	if s.Never() {
		return 0, Block{Reason: Never}
	}
	room, block := g.Breaker.Room(now, l.Starting, s.StartsInProgress)
	limit := s.Max + min(l.Rotating, s.Surge())
	room, block = tighter(room, block, limit-l.Live, Block{Reason: AtMax})
	room, block = tighter(room, block, s.StartsInProgress-l.Starting, Block{Reason: InProgress})
	return tighter(room, block, g.bucket.Tokens(now), Block{Reason: Rate, Until: g.bucket.Next(now)})
}

func tighter(room int, block Block, other int, otherBlock Block) (int, Block) {
	if other = max(0, other); other < room {
		return other, otherBlock
	}
	return room, block
}

// Take accounts for n starts, made now.
func (g *Guards) Take(now time.Time, n int) { g.bucket.Take(now, n) }
