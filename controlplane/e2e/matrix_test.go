package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// matrixVariable names a file that TestLongFaultMatrix writes its table to: go test shows no output of tests that pass.
const matrixVariable = "FAULT_MATRIX"

// What is started, at most, in new environments: matrixBurst at once, then matrixRate each second. Those that are known may each be
// started at once, and once a second, beside.
const (
	matrixBurst       = 6
	matrixRate        = 2
	matrixMax         = 4
	matrixConcurrency = 4

	matrixLanes  = 6                       // cells at once
	matrixHold   = 1500 * time.Millisecond // how long a fault lasts
	matrixServed = 10                      // requests that must be served in a row for a function to have recovered
)

// A harm is a fault, and what it may do to requests.
type harm struct {
	lambdalocal.Fault
	// fails says that requests may be refused, with a cause: no instance can be started.
	fails bool
	// takes says that the fault takes instances along, and so the requests that are on them.
	takes bool
	// stays says that the fault strikes instances as they are. All others strike new ones, so there must be some.
	stays bool
	// cold says that the fault strikes new environments only.
	cold bool
}

var harms = []harm{
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultThrottle}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultThrottle, Reason: "ConcurrentInvocationLimitExceeded"}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultThrottle, Reason: "CallerRateLimitExceeded"}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultAccessDenied}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultNotFound}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultServiceError}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultInvalidContent}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultTooLarge}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultReset}, fails: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultSlowPlacement, Delay: 500 * time.Millisecond}},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultSlowAnswer, Delay: 500 * time.Millisecond}},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultColdStart, Delay: 500 * time.Millisecond}, cold: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultAnswerEarly, Delay: 300 * time.Millisecond}, fails: true, takes: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultAnswerLost, Delay: 300 * time.Millisecond}},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultKill, Delay: 200 * time.Millisecond}, fails: true, takes: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultInitFailure}, fails: true, cold: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultLinkReset}, fails: true, takes: true, stays: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultLinkSilence}, fails: true, takes: true, stays: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultLinkRefuse}, fails: true, takes: true},
	{Fault: lambdalocal.Fault{Kind: lambdalocal.FaultLinkLatency, Delay: 20 * time.Millisecond}, stays: true},
}

// A situation is what a fault meets.
type situation struct {
	name    string
	clients int
	pause   time.Duration // of a client between two requests
}

var situations = []situation{
	{name: "idle", clients: 1, pause: 100 * time.Millisecond},
	{name: "steady", clients: 4, pause: 20 * time.Millisecond},
	{name: "burst", clients: 30, pause: 100 * time.Millisecond},
}

// A cell is one fault in one situation, with a function of its own.
type cell struct {
	harm
	situation
	function string

	// The outcome.
	requests    int
	failed      map[string]int // by status and cause
	invocations int            // that arrived at Lambda
	budget      int            // how many might have
	made, makes int            // of them, in new environments, and how many of those might have
	recovered   time.Duration  // from the end of the fault to the first request of those that were all served
}

func cells() []*cell {
	var all []*cell
	for i, h := range harms {
		for _, s := range situations {
			all = append(all, &cell{harm: h, situation: s, function: fmt.Sprintf("f%02d-%s", i, s.name)})
		}
	}
	return all
}

// Each fault meets each situation. No more is invoked than the guards allow; no request is lost but on instances that
// the fault took along; whatever else fails is refused with a cause; and when the fault is gone, so is its effect.
func TestLongFaultMatrix(t *testing.T) {
	all := cells()
	o := controlplanetest.Options{Linked: true}
	for _, c := range all {
		o.Functions = append(o.Functions, c.configure(t))
	}
	s := controlplanetest.Start(t, o)
	stalls := watchStalls()
	defer stalls.stop()
	next := make(chan *cell)
	var lanes sync.WaitGroup
	for range matrixLanes {
		lanes.Go(func() {
			for c := range next {
				t.Run(c.title(), func(t *testing.T) { c.run(t, s.In(t), stalls) })
			}
		})
	}
	for _, c := range all {
		next <- c
	}
	close(next)
	lanes.Wait()
	publish(t, all)
}

func (c *cell) title() string {
	return strings.Trim(fmt.Sprint(c.Kind, " ", c.Reason), " ") + ", " + c.name
}

func (c *cell) configure(t *testing.T) controlplanetest.Function {
	f := controlplanetest.App(t, c.function, controlplanetest.Library)
	f.Queue.Timeout = 10 * time.Second
	f.Scaling.Concurrency, f.Scaling.Max, f.Scaling.StartsInProgress = matrixConcurrency, matrixMax, matrixMax
	f.Scaling.StartsBurst, f.Scaling.StartsPerSecond = matrixBurst, matrixRate
	f.Scaling.StartTimeout = 5 * time.Second
	if c.cold {
		f.Local.IdleExpiry = lambdalocal.Fixed(50 * time.Millisecond)
	}
	return f
}

func (c *cell) run(t *testing.T, s *controlplanetest.Stack, stalls *stallWatch) {
	began := time.Now()
	l := newLoad(t, s, "/"+c.function+"/sleep?ms=20")
	l.pause = c.pause
	if c.name == "idle" {
		requireServed(t, startLoad(t, s, 1, 1, "/"+c.function+"/hello").wait())
		eventuallyFrozen(s, c.function)
	}
	loadFirst := c.stays || c.name == "steady"
	if loadFirst {
		l.start(c.clients, endless)
		eventuallySent(s, l, int64(4*c.clients))
	}
	remove := c.strike(t, s)
	if !loadFirst {
		l.start(c.clients, endless)
	}
	time.Sleep(matrixHold) // the fault's time, not a wait for a state
	remove()
	end := time.Now()
	s.EventuallyWithin(time.Minute, "served again", func() (err error) {
		c.recovered, err = recovery(l.soFar(), end)
		return err
	})
	results := l.stop()
	var settled operator.Function
	s.Eventually("settled", func() error {
		f := s.Function(c.function)
		if settled = f; f.Starting+f.Draining+f.Down > 0 {
			return fmt.Errorf("%d starting, %d draining, %d down", f.Starting, f.Draining, f.Down)
		}
		return nil
	})
	c.count(s, began, results)
	require.LessOrEqual(t, c.invocations, c.budget)
	require.LessOrEqual(t, c.made, c.makes, "new environments")
	c.requireClear(t, settled, results, stalls.since(began))
	eventuallyUsed(s, c.function, 0, 0)
}

// strike sets the fault until remove.
func (c *cell) strike(t *testing.T, s *controlplanetest.Stack) (remove func()) {
	f := c.Fault
	f.Function = c.function
	remove = addFault(t, s, f)
	if c.name == "steady" && !c.stays {
		status, body := s.AdminPost("/api/v1/functions/" + c.function + "/drain")
		require.Equal(t, http.StatusAccepted, status, body)
	}
	return remove
}

// recovery is how long after the fault's end the first of enough requests in a row was served that began after it.
func recovery(results []result, end time.Time) (time.Duration, error) {
	results = slices.DeleteFunc(results, func(r result) bool { return r.began.Before(end) })
	slices.SortFunc(results, func(a, b result) int { return a.began.Compare(b.began) })
	row := 0
	for i, r := range results {
		if row++; !r.served() {
			row = 0
		}
		if row == matrixServed {
			first := results[i+1-row]
			return first.began.Add(first.took).Sub(end), nil
		}
	}
	return 0, fmt.Errorf("the last %d of %d requests were", row, len(results))
}

// count takes down what there is to see, for the table.
func (c *cell) count(s *controlplanetest.Stack, began time.Time, results []result) {
	lambda := s.Lambda.Counters(c.function)
	c.invocations = lambda.Started + lambda.Faults + lambda.Throttled
	seconds := time.Since(began).Seconds()
	c.made, c.makes = lambda.Cold, matrixBurst+int(matrixRate*seconds)
	inKnown := func(known int) int { return known + int(float64(known)*seconds) }
	c.budget = c.makes + inKnown(max(matrixMax, c.made)) // more than matrixMax exist if some are thought to be frozen and work on
	if c.cold {
		c.makes += inKnown(matrixMax) // environments that have expired are counted on for a while, and starts for these make new ones
		c.budget = c.makes
	}
	c.requests, c.failed = len(results), map[string]int{}
	for _, r := range results {
		if !r.served() {
			c.failed[r.failure()]++
		}
	}
}

// requireClear holds the failures against what the fault may do.
func (c *cell) requireClear(t *testing.T, f operator.Function, results []result, stalled bool) {
	lost, refused := 0, 0
	for _, r := range results {
		switch {
		case r.served():
		case r.lost():
			lost++
		default:
			require.Contains(t, []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, r.status, r)
			require.NotEmpty(t, problemCause(t, r))
			refused++
		}
	}
	most := 0
	if c.takes {
		// What is on an instance may be lost when it is struck, and once more when its peer dials anew.
		most += 2 * int(f.Starts) * matrixConcurrency
	}
	gone := lostInstances(f)
	if !c.takes && stalled {
		t.Logf("the machine stalled: %d instances may be gone for that reason, %v", gone, c.failed)
		return
	}
	require.LessOrEqual(t, lost, most, "%d instances were lost: %v", gone, c.failed)
	require.True(t, c.takes || gone == 0, "%d instances were lost", gone)
	require.True(t, c.fails || refused == 0, c.failed)
}

// lostInstances is how many instances came up and did not end in order.
func lostInstances(f operator.Function) int {
	lost := int(f.Starts) - f.Ready
	for _, reason := range []wire.Reason{wire.ReasonScaleIn, wire.ReasonOperator, wire.ReasonRollout, wire.ReasonRotation, wire.ReasonDeadline} {
		lost -= int(f.Ends[string(reason)])
	}
	for _, n := range f.StartFailures {
		lost -= int(n)
	}
	return lost
}

// A stallWatch knows when this machine let nobody run for longer than the relay lets a peer be silent, or nearly.
type stallWatch struct {
	done     chan struct{}
	watching sync.WaitGroup

	mu   sync.Mutex
	last time.Time // end of the last stall
}

const aStall = time.Second

func watchStalls() *stallWatch {
	w := &stallWatch{done: make(chan struct{})}
	w.watching.Go(func() {
		ticks := time.NewTicker(20 * time.Millisecond)
		defer ticks.Stop()
		for before := time.Now(); ; {
			select {
			case <-w.done:
				return
			case <-ticks.C:
			}
			now := time.Now()
			if now.Sub(before) > aStall {
				w.mu.Lock()
				w.last = now
				w.mu.Unlock()
			}
			before = now
		}
	})
	return w
}

func (w *stallWatch) since(t time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.After(t)
}

func (w *stallWatch) stop() {
	close(w.done)
	w.watching.Wait()
}

// publish prints the table, and writes it to a file if there is one to write to.
func publish(t *testing.T, all []*cell) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "fault\tsituation\trequests\tfailed\tinvocations\tat most\trecovered after\tfailures")
	for _, c := range all {
		sum := 0
		var causes []string
		for _, cause := range slices.Sorted(maps.Keys(c.failed)) {
			sum += c.failed[cause]
			causes = append(causes, fmt.Sprintf("%d x %s", c.failed[cause], cause))
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%.2f s\t%s\n", strings.TrimSpace(fmt.Sprint(c.Kind, " ", c.Reason)), c.name,
			c.requests, sum, c.invocations, c.budget, c.recovered.Seconds(), strings.Join(causes, ", "))
	}
	require.NoError(t, table.Flush())
	fmt.Print(text.String())
	if path := os.Getenv(matrixVariable); path != "" {
		require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	}
}
