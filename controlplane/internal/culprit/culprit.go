// Package culprit finds out which requests kill the environments that serve them. It compares what was in flight where an environment
// died with what is in flight in general. Time is an argument, and what is kept is bounded: what clients ask for is theirs to choose.
package culprit

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"
)

const (
	// Window is for how long a request that has ended counts as in flight: the end of its environment may be heard later than its own.
	Window = 100 * time.Millisecond

	forget   = 24 * time.Hour // after the last death
	maxKinds = 256            // that are looked at
	maxNamed = 8

	// A kind of request is named if chance explains what was seen in one of 160,000 cases (e^12), it was in flight at three deaths
	// after the one that raised the suspicion, and a tenth of all deaths are due to it.
	evidence    = 12
	leastDeaths = 3
	leastShare  = 0.1
	// benefit is how many times more of it there may be in flight than was counted. What is short and what is long are not counted alike
	// where the end of an environment is heard late, and many deaths would make a proof of a small mistake.
	benefit = 3
)

// A Flight is a request that is in flight, and since when.
type Flight struct {
	Request
	For time.Duration
}

// A Route is a kind of request that kills environments.
type Route struct {
	Name   string    // "GET /reports/{id}"
	Deaths int       // of environments, with such a request in flight
	Of     int       // deaths in all, since the first of those
	Others int       // requests of other kinds that were cut with it, at most
	Share  float64   // of such requests among those in flight, when it was named
	Last   time.Time // death
}

// A Book keeps what is known of one function. The zero value is ready for use. It belongs to one caller at a time.
type Book struct {
	kinds map[key]*kind
	time  float64   // seconds that requests were in flight, since the first death
	last  time.Time // death; zero: none yet
}

// A kind is what is known of one kind of request, since a death at which it was in flight made it a suspect.
type kind struct {
	name     string
	depth    int
	time     float64 // seconds that requests of it were in flight
	before   float64 // Book.time when it became a suspect
	deaths   int     // since then
	present  int     // of those, the ones with a request of it in flight
	expected float64 // at most as many would have had one if each request in flight were as likely to be the cause
	others   int     // requests that were in flight beside it at deaths, the first one included
	share    float64 // of it in Book.time, at the last death
	named    bool
	last     time.Time // death with a request of it in flight
}

// Watches tells whether Served need be called: an environment died not long ago.
func (b *Book) Watches(now time.Time) bool { return !b.last.IsZero() && now.Sub(b.last) < forget }

// Served takes in a request that has ended and was in flight for so long.
func (b *Book) Served(now time.Time, r Request, took time.Duration) {
	if !b.Watches(now) {
		return
	}
	b.add(r, (took + Window).Seconds())
}

func (b *Book) add(r Request, seconds float64) {
	b.time += seconds
	for key := range r.kinds() {
		if k := b.kinds[key]; k != nil {
			k.time += seconds
		}
	}
}

// Died takes in the death of an environment that had these requests in flight, no more than most of them at once, while those of flying
// were in flight in all environments. It returns the name of a kind that is proven now to kill environments; empty: none is, or it was known before.
func (b *Book) Died(now time.Time, had []Request, most int, flying iter.Seq[Flight]) (named string) {
	if !b.Watches(now) {
		*b = Book{kinds: map[key]*kind{}}
	}
	b.last = now
	// What is in flight counts as far as it has come, for this look only.
	b.count(flying, 1)
	defer b.count(flying, -1)
	present, most := presence(had), min(most, len(had))
	if b.known(now, present, most) {
		return ""
	}
	b.weigh(now, present, len(had), most)
	if k := b.proven(); k != nil {
		b.name(k)
		return k.name
	}
	b.suspect(now, had, present, most)
	return ""
}

func (b *Book) count(flying iter.Seq[Flight], sign float64) {
	for f := range flying {
		b.add(f.Request, sign*f.For.Seconds())
	}
}

// presence is how many of the requests are of each kind.
func presence(had []Request) map[key]int {
	present := map[key]int{}
	for _, r := range had {
		for key := range r.kinds() {
			present[key]++
		}
	}
	return present
}

// known puts a death to the account of a kind that has been named, if one was in flight. It tells nothing of other kinds then.
func (b *Book) known(now time.Time, present map[key]int, most int) (found bool) {
	for key, k := range b.kinds {
		if !k.named {
			continue
		}
		if !k.kills(now) {
			delete(b.kinds, key)
			continue
		}
		found = k.died(now, present[key], most) || found
	}
	return found
}

// kills tells whether it is known to kill environments: it was named, and has killed one not long ago.
func (k *kind) kills(now time.Time) bool { return k.named && now.Sub(k.last) < forget }

// died counts a death with so many requests of the kind in flight, and most in all. It tells whether there was any.
func (k *kind) died(now time.Time, of, most int) bool {
	k.deaths++
	if of == 0 {
		return false
	}
	k.present++
	k.others += max(0, most-of)
	k.last = now
	return true
}

// weigh takes in a death for each suspect: how likely a request of its kind was in flight there by chance, and whether one was.
func (b *Book) weigh(now time.Time, present map[key]int, all, most int) {
	for key, k := range b.kinds {
		if k.named {
			continue
		}
		k.share = share(k.time, b.time-k.before)
		k.expected += 1 - math.Pow(1-min(1, benefit*k.share), float64(all))
		k.died(now, present[key], most)
	}
}

// share is at least a little: what was in flight took some time.
func share(part, of float64) float64 {
	if of <= 0 {
		return 1
	}
	return min(1, max(1e-6, part/of))
}

// proven is the suspect against which most speaks, if that is enough; nil: none. Of two that are alike it is the narrower one.
func (b *Book) proven() *kind {
	var worst *kind
	named := 0
	for _, k := range b.kinds {
		if k.named {
			named++
			continue
		}
		if worst == nil || cmp.Or(cmp.Compare(k.evidence(), worst.evidence()), cmp.Compare(k.depth, worst.depth), cmp.Compare(k.name, worst.name)) > 0 {
			worst = k
		}
	}
	if worst == nil || worst.evidence() < evidence || named >= maxNamed {
		return nil
	}
	return worst
}

// evidence is the logarithm of how unlikely it is that a kind which kills nothing was in flight at so many deaths (Chernoff's bound);
// 0 if it was at too few.
func (k *kind) evidence() float64 {
	n := float64(max(1, k.deaths))
	seen, chance := float64(k.present)/n, k.expected/n
	if k.present < leastDeaths || chance >= 1 || (seen-chance)/(1-chance) < leastShare {
		return 0
	}
	e := seen * math.Log(seen/chance)
	if seen < 1 {
		e += (1 - seen) * math.Log((1-seen)/(1-chance))
	}
	return n * e
}

// name makes a suspect known. All others are judged anew, by deaths without it.
func (b *Book) name(k *kind) {
	k.named = true
	for key, other := range b.kinds {
		if !other.named {
			delete(b.kinds, key)
		}
	}
}

// suspect makes suspects of the kinds that were in flight at a death, the wider ones first, while there is room. They take the place of
// those that were in flight at no other death.
func (b *Book) suspect(now time.Time, had []Request, present map[key]int, most int) {
	for depth := range maxDepth {
		for _, r := range had {
			for key, at := range r.kinds() {
				if at != depth || b.kinds[key] != nil {
					continue
				}
				if !b.room(now) {
					return
				}
				b.kinds[key] = &kind{
					name: r.name(depth), depth: depth, before: b.time, others: max(0, most-present[key]), last: now,
				}
			}
		}
	}
}

// room tells whether there is room for another suspect, and makes some.
func (b *Book) room(now time.Time) bool {
	if len(b.kinds) < maxKinds {
		return true
	}
	for key, k := range b.kinds {
		if !k.named && k.present == 0 && k.last.Before(now) {
			delete(b.kinds, key)
			return true
		}
	}
	return false
}

// Routes are the kinds of requests that are known to kill environments, those with the most deaths first.
func (b *Book) Routes(now time.Time) (out []Route) {
	for _, k := range b.kinds {
		if k.kills(now) {
			out = append(out, Route{Name: k.name, Deaths: k.present + 1, Of: k.deaths + 1, Others: k.others, Share: k.share, Last: k.last})
		}
	}
	slices.SortFunc(out, func(a, b Route) int { return cmp.Or(cmp.Compare(b.Deaths, a.Deaths), cmp.Compare(a.Name, b.Name)) })
	return out
}

// Kills tells whether a request is of a kind that is known to kill environments.
func (b *Book) Kills(now time.Time, r Request) bool {
	if !b.Watches(now) {
		return false
	}
	for key := range r.kinds() {
		if k := b.kinds[key]; k != nil && k.kills(now) {
			return true
		}
	}
	return false
}
