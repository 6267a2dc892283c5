package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
)

// maxStep is how long a store may take to answer.
const maxStep = 2 * time.Second

// Lead leads a term. It is called when this process is elected, and ctx ends with the term. The next term begins only after it has
// returned. relays are those that were attached to the former leader.
type Lead func(ctx context.Context, term uint64, relays []string)

// An Elector runs a Candidate.
type Elector struct {
	store Store
	log   logrus.FieldLogger

	mu        sync.Mutex
	candidate *Candidate
	answers   answers
	changed   chan struct{} // closed, and replaced, when the candidate has changed
}

// NewElector returns an elector that does nothing before Run. me and address are as for NewCandidate.
func NewElector(me, address string, store Store, log logrus.FieldLogger) *Elector {
	e := &Elector{
		store: store, log: log.WithField("component", "lease"),
		candidate: NewCandidate(me, address), answers: answers{last: time.Now(), errors: map[Cause]uint64{}}, changed: make(chan struct{}),
	}
	if quick, ok := store.(interface{ Watch() time.Duration }); ok {
		e.candidate.watch = quick.Watch()
	}
	return e
}

// Relays is Candidate.Relays.
func (e *Elector) Relays(attached []string, confirmed time.Time) {
	e.with(func(c *Candidate, now time.Time) { c.Relays(now, attached, confirmed) })
}

// Remote is Candidate.Remote.
func (e *Elector) Remote() {
	e.with(func(c *Candidate, _ time.Time) { c.Remote() })
}

// Superseded is Candidate.Superseded.
func (e *Elector) Superseded(term uint64) {
	e.with(func(c *Candidate, _ time.Time) { c.Superseded(term) })
}

// Standing says whether this process leads now.
func (e *Elector) Standing() Standing {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.candidate.Standing(time.Now())
}

// Health says how the store answers.
func (e *Elector) Health() Health {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.answers.health(time.Now())
}

// with changes the candidate.
func (e *Elector) with(do func(*Candidate, time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do(e.candidate, time.Now())
	close(e.changed)
	e.changed = make(chan struct{})
}

// Run campaigns and leads whenever it is elected, until ctx ends. Then it waits for lead to return, and gives the lease back, so
// that another process leads at once.
func (e *Elector) Run(ctx context.Context, lead Lead) {
	steps, stop := context.WithCancel(context.WithoutCancel(ctx))
	var campaign sync.WaitGroup
	campaign.Go(func() { e.campaign(steps) })
	for ctx.Err() == nil {
		if standing, ok := e.await(ctx, func(s Standing) bool { return s.Leads }); ok {
			e.lead(ctx, lead, standing)
		}
	}
	e.with((*Candidate).Leave)
	e.leave()
	stop()
	campaign.Wait()
}

// await blocks until the standing satisfies is, or ctx ends.
func (e *Elector) await(ctx context.Context, is func(Standing) bool) (Standing, bool) {
	for {
		e.mu.Lock()
		now := time.Now()
		standing, until, changed := e.candidate.Standing(now), e.candidate.Until(), e.changed
		e.mu.Unlock()
		if is(standing) {
			return standing, true
		}
		wait := Duration
		if standing.Leads {
			wait = until.Sub(now)
		}
		if !pause.Unless(ctx, wait, changed) {
			return standing, false
		}
	}
}

// lead leads one term to its end.
func (e *Elector) lead(ctx context.Context, lead Lead, s Standing) {
	log := e.log.WithField("term", s.Term)
	log.Info("this control plane leads")
	term, over := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		defer over()
		_, _ = e.await(term, func(now Standing) bool { return !now.Leads || now.Term != s.Term })
	})
	lead(term, s.Term, s.Relays)
	over()
	watch.Wait()
	e.with(func(c *Candidate, _ time.Time) { c.End() })
	log.Info("this control plane does not lead any more")
}

// campaign does the candidate's steps until ctx ends.
func (e *Elector) campaign(ctx context.Context) {
	var trouble trouble
	for ctx.Err() == nil {
		e.mu.Lock()
		now, over := time.Now(), e.candidate.over
		step, changed := e.candidate.Step(now), e.changed
		givesWay := !over && e.candidate.over // a step ends a term for no other reason
		e.mu.Unlock()
		if givesWay {
			e.log.WithField("term", step.Next.Term).Warn("no relay has reached this leader for too long: it gives way to a standby")
		}
		if step.Kind == StepWait {
			pause.Unless(ctx, step.At.Sub(now), changed)
			continue
		}
		if err := e.do(ctx, step); ctx.Err() == nil {
			trouble.say(e.log, time.Now(), err)
		}
	}
}

// A trouble is what is wrong with the store, for the log: the same once a minute, also if the store fails only now and then, and no more
// than one every few seconds, because an error may name a port that is another one each time.
type trouble struct {
	said string // empty: nothing is wrong
	at   time.Time
	last time.Time // when it failed last
}

const (
	saySame  = time.Minute
	sayOther = 5 * time.Second
	mended   = 5 * time.Second // without a failure
)

func (t *trouble) say(log logrus.FieldLogger, now time.Time, err error) {
	switch {
	case err == nil && t.said != "" && now.Sub(t.last) >= mended:
		log.Info("the lease can be read and renewed again")
		t.said = ""
	case err == nil:
	case err.Error() != t.said && now.Sub(t.at) >= sayOther, now.Sub(t.at) >= saySame:
		log.WithField("error", err.Error()).Warn("the lease cannot be read or renewed: it is tried again")
		t.said, t.at, t.last = err.Error(), now, now
	default:
		t.last = now
	}
}

// do does a step. The error is that of the store. A conflict is not an error.
func (e *Elector) do(ctx context.Context, step Step) error {
	ctx, cancel := context.WithTimeout(ctx, maxStep)
	defer cancel()
	if step.Kind == StepRead {
		found, err := e.store.Read(ctx)
		err = inTime(err)
		if err == nil {
			if err = found.Validate(); err != nil {
				err = Because(Unreadable, fmt.Errorf("lease: the record: %w", err))
			}
		}
		e.with(func(c *Candidate, now time.Time) {
			c.Read(now, found, err)
			if err != nil || !c.wouldSwap(now) { // else the swap will tell: a store may be readable and no more
				e.answers.note(now, err)
			}
		})
		return err
	}
	swapped := inTime(e.store.Swap(ctx, step.Seen, step.Next))
	err := swapped
	if errors.As(err, new(*ConflictError)) {
		err = nil
	}
	e.with(func(c *Candidate, now time.Time) {
		e.answers.note(now, err)
		c.Swapped(now, swapped)
	})
	return err
}

// inTime says in people's words that a store did not answer.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", maxStep, err)
	}
	return err
}

// leave waits until the lease is given back, but at most maxStep.
func (e *Elector) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), maxStep)
	defer cancel()
	for {
		e.mu.Lock()
		left, changed := e.candidate.Left(), e.changed
		e.mu.Unlock()
		if left || !pause.Unless(ctx, maxStep, changed) {
			return
		}
	}
}
