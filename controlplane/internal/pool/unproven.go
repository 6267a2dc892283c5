package pool

import (
	"math"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
)

// New code may die of its first request, or take it and never answer. So until it has answered somebody it gets few requests, and no
// larger share. It is given up if it answers none of them in the time that an answer may take.
//
// New code may also answer some requests, health checks for example, and hang on the others. So its share does not grow while many more
// of its requests than of the old code's have no answer. It is given up when those requests have taken longer than is usual.

// tests are the requests that an instance has been given during a rollout. Streams are left out: their answer may begin late.
type tests struct {
	n    int // all
	left int // have ended
	long int // of those, took longer than usual
	late int // of those, had no answer in the time that one may take
}

// unanswered are the requests, of all kinds, that an instance's peer has counted and to which no answer has begun.
type unanswered struct {
	told   bool // its peer counts them
	all    int
	gone   int // have ended
	before int // of those, had ended before the rollout began, or before the peer's first report
}

// survives is how long an instance is there after a request before that counts as an answer, for peers that do not count them. Of
// others it is known by then whether they have answered.
const survives = 2 * time.Second

// How long is waited for an answer where nothing better is known.
const (
	usualWait   = 10 * time.Second
	leastWait   = time.Minute // an answer may always take that long, unless it is configured otherwise
	longestWait = 15 * time.Minute
)

// unproven reports whether a rollout tries code that has not answered anybody yet.
func (p *Pool) unproven() bool { return p.roll != nil && !p.roll.trusted }

// answersWithin is how long an answer may take to begin: the configured limit, but not much longer than requests have taken so far. If
// many take longer than the limit they are uploads: Envoy begins to count when an upload is complete.
func (p *Pool) answersWithin() time.Duration {
	limit := longestWait
	if p.settings.FirstByte > 0 {
		limit = p.settings.FirstByte
	}
	switch usual := p.usual.Usual(); {
	case usual >= limit:
		limit = min(longestWait, 3*usual)
	case usual > 0:
		limit = min(limit, max(leastWait, 3*usual))
	}
	return limit
}

// usually is how long nearly all requests take.
func (p *Pool) usually() time.Duration {
	if known := p.usual.Usual(); known > 0 {
		return max(time.Second, known)
	}
	return usualWait
}

// testsOf is how many slots an instance of unproven code has. If the first request is not answered in the usual time, the code has not
// died of it, and gets others beside it.
func (p *Pool) testsOf(i *Instance) int {
	oldest := i.leases.head
	more := max(0, min(rollout.EnoughLate-i.tests.late, rollout.EnoughLeft-i.tests.left))
	switch {
	case i.granted == 0:
		return 1
	case !i.counts:
		return i.leases.n
	case oldest == nil && p.now.Sub(i.answered) >= survives:
		return i.foreign + min(1, more)
	case oldest != nil && p.now.Sub(oldest.leased) >= min(p.usually(), p.answersWithin()/2):
		return max(i.leases.n, i.streams+i.foreign+more)
	}
	return i.leases.n // what has ended may have killed it, which is known a moment later
}

// given counts a request that the instance gets.
func (t *tests) given(r *Request) {
	if !r.Stream {
		t.n++
	}
}

// endTest counts a request that has ended.
func (p *Pool) endTest(r *Request) {
	i, took := r.instance, p.now.Sub(r.leased)
	switch {
	case r.Stream:
		return
	case r.refused:
		i.tests.n--
		return
	}
	if p.roll != nil {
		i.tests.ended(took, p.usually(), p.answersWithin()*9/10)
	}
	if !i.fresh {
		p.usual.Took(took)
		p.noteOld(took)
	}
}

func (t *tests) ended(took, usually, late time.Duration) {
	t.left++
	if took >= usually {
		t.long++
	}
	if took >= late {
		t.late++
	}
}

// Unanswered says how many requests the instance's peer has counted to which no answer has begun, the ended ones included, and how many
// requests were in flight then.
func (p *Pool) Unanswered(i *Instance, requests uint64, inFlight int) {
	u := &i.unanswered
	u.all = int(min(requests, math.MaxInt32))
	u.gone = max(0, u.all-inFlight)
	if !u.told {
		u.told, u.before = true, u.gone
	}
}

// listenEvery is how often it is looked whether unproven code has answered.
const listenEvery = 250 * time.Millisecond

// listen tells the rollout what unproven code has done with the requests that it was given.
func (p *Pool) listen(now time.Time) {
	r := p.roll
	if !r.Unproven() || p.proven(now) {
		p.listenOn(now)
		return
	}
	r.look = time.Time{}
	void := p.oldHangs(now) // whatever they all wait for is no fault of new code
	if void {
		r.void = now
	}
	var all rollout.Silence
	for i := range p.Instances() {
		if !i.fresh || i.state != Ready || !i.counts || i.granted == 0 {
			continue
		}
		r.look = now.Add(listenEvery)
		if void {
			i.tests.late, i.tests.left = 0, 0
		}
		all.Given += i.tests.n
		if now.Sub(r.void) >= p.answersWithin() {
			all.Late += i.waiting(now, p.answersWithin())
		}
		if now.Sub(i.answered) >= survives {
			all.Late += i.tests.late
			all.Left += i.tests.left
		}
		p.setSlots(i)
	}
	p.serve(now)
	r.Silent(now, all)
}

// listenOn tells the rollout what code that has answered somebody does not answer, beside the old code.
func (p *Pool) listenOn(now time.Time) {
	r := p.roll
	if again := r.listened.Add(listenEvery); now.Before(again) {
		r.look = again
		return
	}
	r.listened, r.look = now, time.Time{}
	var after, before rollout.Silence
	quiet := false // a peer of the old code does not say what it has not answered
	for i := range p.Instances() {
		if i.state != Ready || !i.counts {
			continue
		}
		if !i.fresh {
			quiet = quiet || !i.unanswered.told
			p.addSilence(now, i, &before)
			continue
		}
		p.addSilence(now, i, &after)
		if i.leases.n > 0 {
			r.look = now.Add(listenEvery)
		}
	}
	if quiet {
		before = rollout.Silence{} // there is nothing to compare with
	}
	r.PartlySilent(now, after, before)
}

// addSilence adds what the instance has not answered since the rollout began. Which requests those are nobody knows: as many at most as
// its peer has counted, and as may be, by the time that they have taken.
func (p *Pool) addSilence(now time.Time, i *Instance, s *rollout.Silence) {
	t, u := &i.tests, &i.unanswered
	gone := max(0, u.gone-u.before) + i.foreign
	open := min(max(0, u.all-u.gone-i.foreign), i.leases.n-i.streams)
	s.Given += t.n
	s.Open += gone + open
	s.Long += gone + min(open, i.waiting(now, p.usually()))
	s.Gone += gone
	s.Late += min(gone, t.late) + min(open, i.waiting(now, p.answersWithin()))
	s.Left += min(gone, t.long)
}

// waiting is how many requests, streams left out, have been in flight on the instance for so long.
func (i *Instance) waiting(now time.Time, d time.Duration) (n int) {
	for r := i.leases.head; r != nil && now.Sub(r.leased) >= d; r = r.next {
		if !r.Stream {
			n++
		}
	}
	return n
}

// oldAnswered notes that an old instance answers.
func (r *renewal) oldAnswered(now time.Time) { r.answered, r.overdue = now, false }

// noteOld records how the last request on an old instance ended: in time, or so late that nobody may have answered it, nor any other
// meanwhile.
func (p *Pool) noteOld(took time.Duration) {
	switch {
	case p.roll == nil:
	case took < p.answersWithin()*9/10:
		p.roll.oldAnswered(p.now)
	case p.now.Sub(p.roll.answered) >= took: // else it is a long answer of code that answers others
		p.roll.overdue = true
	}
}

// oldHangs reports whether old instances do not answer either.
func (p *Pool) oldHangs(now time.Time) bool {
	half := p.answersWithin() / 2
	for i := range p.Instances() {
		if !i.fresh && i.waiting(now, half) > 0 && now.Sub(p.roll.answered) >= half {
			return true
		}
	}
	return p.roll.overdue
}

// proven reports whether a fresh instance has answered somebody, perhaps before the rollout began: one of a version that had a share already.
// One whose peer does not count answers has done so if it lives although a request of its has ended.
func (p *Pool) proven(now time.Time) bool {
	for i := range p.Instances() {
		survived := !i.counts && !i.answered.IsZero() && now.Sub(i.answered) >= survives
		if i.fresh && i.state == Ready && (i.answers > 0 || survived) {
			return true
		}
	}
	return false
}
