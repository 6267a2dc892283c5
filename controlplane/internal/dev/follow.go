package dev

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
)

const (
	askEvery = 200 * time.Millisecond
	// patience is how long an app may take to listen until it is said what is waited for.
	patience = 2 * time.Second
	// sayEvery is the least time between two words about an app that does not listen, and sayAgain that between the same.
	sayEvery, sayAgain = 5 * time.Second, 30 * time.Second
)

// A follower tells what changes of the function.
type follower struct {
	*session
	up       bool      // it was said where the app is
	waited   string    // what was last said that it is waited for
	at       time.Time // when
	failures string    // what was last said of starts that fail
	rollout  string    // the end of a rollout that was last told
}

// follow asks the control plane until ctx ends.
func (s *session) follow(ctx context.Context) {
	f := &follower{session: s}
	for pause.For(ctx, askEvery) {
		var now operator.Function
		var all struct{ Instances []operator.Instance }
		if s.admin.Get(ctx, "/api/v1/functions/"+function, &now) == nil && s.admin.Get(ctx, "/api/v1/instances", &all) == nil {
			f.see(ctx, now, all.Instances)
		}
	}
}

func (f *follower) see(ctx context.Context, now operator.Function, instances []operator.Instance) {
	if (now.Ready > 0 || f.Min == 0) && !f.up { // without a minimum nothing starts before a request
		f.up = true
		f.say.block(f.welcome())
	}
	f.seeWaiting(ctx, instances)
	f.seeFailures(now)
	f.seeRollout(now.Rollout)
}

// seeWaiting says what an app does that does not take requests.
func (f *follower) seeWaiting(ctx context.Context, instances []operator.Instance) {
	for _, i := range instances {
		long := time.Duration(i.AgeSeconds*float64(time.Second)) > patience+f.ColdStart
		what := since.ReplaceAllString(i.WaitsFor, "")
		if i.Environment == "" {
			what = undialled
		}
		quiet := sayEvery
		if what == f.waited {
			quiet = sayAgain
		}
		if i.State == "starting" && long && time.Since(f.at) > quiet {
			f.waited, f.at = what, time.Now()
			rightly, elsewhere := f.listening(ctx, i.RequestID)
			f.say.line("%s", f.waiting(what, rightly, elsewhere))
		}
	}
}

// undialled is what a start waits for whose peer has not been heard: its app does not listen yet, and has not done so for long.
const undialled = ""

// listening tells whether the app of a start listens where it should, and where else it does.
func (f *follower) listening(ctx context.Context, requestID string) (rightly bool, elsewhere []int) {
	for _, e := range f.lambda.starting(ctx, requestID) {
		for _, port := range e.listening() {
			if port == cmp.Or(f.Port, e.Port) {
				rightly = true
			} else {
				elsewhere = append(elsewhere, port)
			}
		}
	}
	return rightly, elsewhere
}

// waiting tells what a start waits for, and where the app should listen if it does not.
func (f *follower) waiting(what string, rightly bool, elsewhere []int) string {
	switch {
	case what == undialled && rightly:
		return "waiting for the app: it listens, and does not answer yet"
	case what == undialled:
		return "waiting for the app: it does not listen yet. " + f.portHint(elsewhere)
	case strings.HasSuffix(what, ": connection refused") && !rightly:
		return "waiting for the app: " + what + ". " + f.portHint(elsewhere)
	case strings.HasSuffix(what, onSix):
		return "waiting for the app: " + what + ". It should listen on 127.0.0.1, or on all addresses"
	default:
		return "waiting for the app: " + what
	}
}

// onSix ends what a peer says of an app that does not listen on IPv4.
const onSix = "the app listens on IPv6 only"

// since is how a peer says for how long it has waited for its app.
var since = regexp.MustCompile(`^its app, for [^:]*: `)

// portHint tells where the app should listen, and where it does.
func (f *follower) portHint(elsewhere []int) string {
	hint := "It should listen on the port that is in the variable PORT"
	if f.Port != 0 {
		hint = fmt.Sprintf("It should listen on port %d, as --port says", f.Port)
	}
	if len(elsewhere) == 0 {
		return hint + ", and listens nowhere yet"
	}
	return fmt.Sprintf("%s, and listens on %d: --port %[2]d tells us so", hint, elsewhere[0])
}

// seeFailures says why starts fail, once for each reason.
func (f *follower) seeFailures(now operator.Function) {
	if now.Ready > 0 {
		f.failures = ""
	}
	why := plain(changing.ReplaceAllString(now.BlockedDetail, ""))
	if len(now.StartFailures) == 0 || now.Ready > 0 || why == "" || why == f.failures {
		return
	}
	f.failures = why
	f.say.line("the app does not start: %s", why)
}

// changing is what changes all the time in the reason: when the next start may be tried, and for how long one has waited, of
// which seeWaiting tells.
var changing = regexp.MustCompile(`the next one (may be|is) tried [^;]*; |; (a start waits|[0-9]+ starts wait).*`)

// requestID is what Lambda puts before an error.
var requestID = regexp.MustCompile(`RequestId: [0-9a-f-]+ Error: `)

func plain(detail string) string { return requestID.ReplaceAllString(detail, "") }

// seeRollout tells how a rollout has ended.
func (f *follower) seeRollout(r *operator.Rollout) {
	if r == nil || r.EndedAt == nil {
		return
	}
	end := r.From + " " + r.To + " " + r.EndedAt.String()
	if end == f.rollout {
		return
	}
	f.rollout = end
	if r.Cause == "" {
		f.say.line("version %s serves", r.To)
		return
	}
	f.say.line("version %s was given up: %s. Version %s still serves", r.To, cmp.Or(plain(r.Detail), r.Cause), r.From)
}

// changed publishes what is on disk as a version, and has it rolled out.
func (s *session) changed(ctx context.Context, files []string) {
	what := files[0]
	if len(files) > 1 {
		what += fmt.Sprintf(" and %d more", len(files)-1)
	}
	version, err := s.lambda.publish(ctx)
	if err == nil {
		s.say.line("%s changed: version %s is on its way", what, version)
		_, err = s.admin.Do(ctx, http.MethodPost, "/api/v1/functions/"+function+"/rollout", operator.RolloutPlan{Steps: []float64{}})
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.say.line("%s has changed, and is not served: %v", what, err)
	}
	if s.repeats.many(time.Now(), files) {
		s.say.line("%s has changed %d times in a row: if a program writes it and not you, let its name end in .log, which is not watched", what, manyRepeats)
	}
}

const (
	manyRepeats = 5
	inARow      = 10 * time.Second // at most, from one change to the next
)

// repeats notices files that change again and again, as those do that each new version writes.
type repeats struct {
	files []string
	n     int
	last  time.Time
}

// many takes in a change, and says once for a row of them that it is long.
func (r *repeats) many(now time.Time, files []string) bool {
	if !slices.Equal(files, r.files) || now.Sub(r.last) > inARow {
		r.n = 0
	}
	r.files, r.last, r.n = files, now, r.n+1
	return r.n == manyRepeats
}

// welcome tells what is where, and what to do next.
func (s *session) welcome() string {
	next := "Save a file, and a new version takes over. Ctrl-C ends everything."
	if !s.Reload {
		next = "Ctrl-C ends everything."
	}
	return fmt.Sprintf(`
  http://%s/   your app: Envoy in front, %s in an instance
  http://%s/   what happens to them: instances, queue, bill
  %s

`, s.places.front, together(s.Concurrency), s.places.admin, next)
}

func together(slots int) string {
	if slots == 1 {
		return "one request at a time"
	}
	return fmt.Sprintf("%d requests at once", slots)
}
