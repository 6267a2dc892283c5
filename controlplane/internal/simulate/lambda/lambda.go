// Package lambda models AWS Lambda for simulations: environments that start cold or warm, freeze between invocations and
// expire, the limits on starts and on concurrency, and the bill. Time is an argument and never runs backwards.
package lambda

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Settings are those of the account and of the function. A limit of zero means none.
type Settings struct {
	Preset      Preset
	MemoryMB    int
	Concurrency int           // invocations at once in the account
	NewPer10s   int           // new environments of a function in 10 s
	IdleLeast   time.Duration // a frozen environment expires at random between the two
	IdleMost    time.Duration
	LifeLeast   time.Duration // an environment of such an age, drawn between the two, is not used again; 0: it may be for ever
	LifeMost    time.Duration
	Timeout     time.Duration // of an invocation, its init not counted
	Slow        float64       // share of environments that are slower than others
	SlowTimes   float64       // how many times longer requests take there
	Prices      Prices
	InitFails   float64 // share of cold starts that fail
	DialFails   float64 // share of starts that never come up
	Seed        uint64
}

// Defaults returns the limits that AWS publishes, with a concurrency of 20,000 instead of the 1,000 of a new account. Times of expiry are
// those that are known.
func Defaults() Settings {
	return Settings{
		Preset:      Presets()[0],
		MemoryMB:    1769, // one full vCPU
		Concurrency: 20_000,
		NewPer10s:   1000,
		IdleLeast:   5 * time.Minute,
		IdleMost:    15 * time.Minute,
		Timeout:     15 * time.Minute,
		SlowTimes:   5,
		Prices:      Prices{GBSecond: 0.0000166667, Invocation: 0.20 / 1e6},
	}
}

// Prices in dollars. Those of Defaults are of x86 functions in us-east-1, aws.amazon.com/lambda/pricing.
type Prices struct {
	GBSecond   float64
	Invocation float64
}

// PerSecond returns the dollars of one instance for a second.
func (s Settings) PerSecond() float64 { return s.Prices.GBSecond * float64(s.MemoryMB) / 1024 }

// Fee returns the price of an invocation as a time: how long an instance runs for that money, a day at most.
func (s Settings) Fee() time.Duration {
	const most = 24 * time.Hour
	if s.Prices.Invocation >= s.PerSecond()*most.Seconds() {
		return most
	}
	return time.Duration(s.Prices.Invocation / s.PerSecond() * float64(time.Second))
}

// A Bill adds up what invocations cost.
type Bill struct {
	Invocations int
	Billed      time.Duration // each invocation's time rounded up to a millisecond
	LeastInit   time.Duration // of the inits, the shortest; 0: there was none
}

// GBSeconds returns the billed time of functions with that memory in GB-seconds.
func (b Bill) GBSeconds(memoryMB int) float64 { return b.Billed.Seconds() * float64(memoryMB) / 1024 }

// Dollars returns the bill in dollars of functions with that memory.
func (b Bill) Dollars(memoryMB int, p Prices) float64 {
	return b.GBSeconds(memoryMB)*p.GBSecond + float64(b.Invocations)*p.Invocation
}

// An Environment is an execution environment of Lambda.
type Environment struct {
	ID      string
	Version string        // of the code
	Times   float64       // how many times longer than usual requests take here
	expires time.Duration // if it stays frozen
	retires time.Duration // whether it does or not; 0: never
}

// An Outcome says how an Invoke goes on.
type Outcome uint8

// Outcomes of Invoke.
const (
	Runs      Outcome = iota
	Throttled         // refused at once
	InitFails         // ends when its init would
	NeverUp           // runs, but nobody hears of it
)

// An Invocation is one call of Invoke that was not refused.
type Invocation struct {
	Environment *Environment
	Cold        bool
	BilledFrom  time.Duration // since the beginning of the simulation, as are the others
	Up          time.Duration // when the pool may lease its slots
	Deadline    time.Duration // when Lambda kills it
}

// A Lambda is one function in one account.
type Lambda struct {
	Bill     Bill
	Most     int // environments that ever existed at once
	settings Settings
	rand     *rand.Rand
	frozen   []*Environment // the latest last
	running  int
	created  int
	alias    string          // the version that the function's alias points to
	broken   map[string]bool // versions whose init fails
	allowed  float64         // new environments now
	refilled time.Duration
}

// New returns a function that nobody has invoked.
func New(s Settings) *Lambda {
	return &Lambda{
		settings: s, rand: rand.New(rand.NewPCG(s.Seed, 11)), allowed: float64(s.NewPer10s),
		alias: FirstVersion, broken: map[string]bool{},
	}
}

// FirstVersion is the version that the alias points to at first.
const FirstVersion = "1"

// Deploy moves the alias to a version. Its init fails if it is broken.
func (l *Lambda) Deploy(version string, broken bool) { l.alias, l.broken[version] = version, broken }

// Invoke runs a version of the function; the alias's if version is empty. It takes the environment of that version that froze last, or
// else makes a new one.
func (l *Lambda) Invoke(now time.Duration, version string) (Invocation, Outcome) {
	if version == "" {
		version = l.alias
	}
	if l.settings.Concurrency > 0 && l.running >= l.settings.Concurrency {
		return Invocation{}, Throttled
	}
	l.expire(now)
	if l.last(version) < 0 && !l.mayCreate(now) {
		return Invocation{}, Throttled
	}
	l.running++
	l.Bill.Invocations++
	invocation := l.begin(now, version)
	l.Most = max(l.Most, l.running+len(l.frozen))
	switch {
	case invocation.Cold && l.broken[version]:
		return invocation, InitFails
	case invocation.Cold && l.rand.Float64() < l.settings.InitFails:
		return invocation, InitFails
	case l.rand.Float64() < l.settings.DialFails:
		return invocation, NeverUp
	}
	return invocation, Runs
}

// last returns the index of the version's environment that froze last; -1: there is none.
func (l *Lambda) last(version string) int {
	k := len(l.frozen) - 1
	for k >= 0 && l.frozen[k].Version != version {
		k--
	}
	return k
}

func (l *Lambda) begin(now time.Duration, version string) Invocation {
	p := l.settings.Preset
	var i Invocation
	var handler time.Duration
	if k := l.last(version); k >= 0 {
		i.Environment = l.frozen[k]
		l.frozen = slices.Delete(l.frozen, k, k+1)
		i.BilledFrom = now + p.Thaw.draw(l.rand)
		handler = i.BilledFrom
	} else {
		l.created++
		i.Environment, i.Cold = l.create(now, version), true
		i.BilledFrom = now + p.Place.draw(l.rand)
		init := p.Init.draw(l.rand)
		if l.Bill.LeastInit == 0 || init < l.Bill.LeastInit {
			l.Bill.LeastInit = init
		}
		handler = i.BilledFrom + init
	}
	i.Up = handler + p.Dial.draw(l.rand)
	i.Deadline = handler + l.settings.Timeout
	return i
}

func (l *Lambda) create(now time.Duration, version string) *Environment {
	e := &Environment{ID: strconv.Itoa(l.created), Version: version, Times: 1}
	if l.settings.Slow > 0 && l.rand.Float64() < l.settings.Slow {
		e.Times = l.settings.SlowTimes
	}
	if l.settings.LifeMost > 0 {
		e.retires = now + l.between(l.settings.LifeLeast, l.settings.LifeMost)
	}
	return e
}

func (l *Lambda) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(l.rand.Int64N(int64(most-least)))
}

// mayCreate takes one new environment from the bucket that Lambda refills continuously. It returns false where that is empty.
func (l *Lambda) mayCreate(now time.Duration) bool {
	most := float64(l.settings.NewPer10s)
	if most == 0 {
		return true
	}
	l.allowed = min(most, l.allowed+(now-l.refilled).Seconds()*most/10)
	l.refilled = now
	if l.allowed < 1 {
		return false
	}
	l.allowed--
	return true
}

// expire removes the frozen environments that have expired.
func (l *Lambda) expire(now time.Duration) {
	kept := l.frozen[:0]
	for _, e := range l.frozen {
		if now < e.expires && (e.retires == 0 || now < e.retires) {
			kept = append(kept, e)
		}
	}
	l.frozen = kept
}

// Finish returns how long an invocation runs on after it was told to end.
func (l *Lambda) Finish() time.Duration { return l.settings.Preset.Finish.draw(l.rand) }

// End bills an invocation and freezes its environment. An environment that crashed is lost.
func (l *Lambda) End(now time.Duration, i Invocation, crashed bool) {
	l.running--
	if billed := now - i.BilledFrom; billed > 0 {
		l.Bill.Billed += (billed + time.Millisecond - 1).Truncate(time.Millisecond)
	}
	if crashed {
		return
	}
	i.Environment.expires = now + l.between(l.settings.IdleLeast, l.settings.IdleMost)
	l.frozen = append(l.frozen, i.Environment)
}

// Forget removes all frozen environments.
func (l *Lambda) Forget() { l.frozen = nil }
