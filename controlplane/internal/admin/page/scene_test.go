package page_test

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// A scene is a control plane as the page sees it: what a test, or a picture for the documents, puts into it.
type scene struct {
	admin.Source // what a page does not ask for is not there

	mu        sync.Mutex
	functions []operator.Function
	instances []operator.Instance
	recent    operator.Recent
	step      func(s *scene, looks int) // before each look at the functions; nil: nothing changes
	looks     int
}

func (s *scene) Functions() []operator.Function {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	if s.step != nil {
		s.step(s, s.looks)
	}
	return append([]operator.Function(nil), s.functions...)
}

func (s *scene) Instances() []operator.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]operator.Instance(nil), s.instances...)
}

func (s *scene) Recent() operator.Recent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recent
}

// seen is how often the page has looked.
func (s *scene) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// change changes what the page sees at its next look.
func (s *scene) change(how func(s *scene)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(s)
}

// ready is an instance that serves.
func ready(function string, number, inFlight, foreign, slots int) operator.Instance {
	return operator.Instance{
		ID: fmt.Sprintf("%s-%04d", function, number), Function: function, Endpoint: fmt.Sprintf("%s/%04d", function, number), State: "ready",
		InFlight: inFlight, Foreign: foreign, Slots: slots, Reported: inFlight + foreign, AgeSeconds: 40 + float64(number*7%500),
		Environment: fmt.Sprintf("env-%d", number), Build: "v0.9.0", FunctionVersion: "7", RequestID: "5f1c-" + fmt.Sprint(number),
		LogStream: "2026/11/29/[7]" + fmt.Sprint(number),
	}
}

// busy is three functions: one that serves a load, one whose new version is being tried, one whose starts Lambda throttles.
func busy() *scene {
	s := &scene{functions: []operator.Function{checkout(), search(), thumbnails()}}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	s.recent = operator.Recent{
		Failures: []operator.Failure{
			{
				At: ago(4 * time.Second), Function: "thumbnails", What: operator.StartFailed, Cause: "throttled_account", Count: 6, Instance: "b81e2a",
				Detail: "TooManyRequestsException: Rate Exceeded. (ConcurrentInvocationLimitExceeded)",
			},
			{
				At: ago(31 * time.Second), Function: "thumbnails", What: operator.RequestFailed, Cause: "queue_full", Count: 7,
				RequestID: "3c9d41f0-52c3-4c0e", Detail: "",
			},
			{
				At: ago(12 * time.Minute), Function: "checkout", What: operator.StartFailed, Cause: "init_failed", Count: 2, Instance: "07aa19",
				Detail: "Runtime exited with error: exit status 1: Error: connect ECONNREFUSED 10.0.3.8:5432",
			},
		},
		Waited: []operator.Waited{
			{At: ago(3 * time.Second), Function: "thumbnails", RequestID: "91b0c7e2-1f44", Instance: "thumbnails-0002", QueueMS: 812, Start: "none"},
			{At: ago(5 * time.Second), Function: "thumbnails", RequestID: "5d3f02aa-8c10", Instance: "thumbnails-0001", QueueMS: 640, Start: "none"},
			{At: ago(50 * time.Second), Function: "search", RequestID: "ee12bb07-90a1", Instance: "search-0008", QueueMS: 23, Start: "warm"},
			{At: ago(8 * time.Minute), Function: "checkout", RequestID: "0b7714d9-33fe", Instance: "checkout-0011", QueueMS: 2140, Start: "cold"},
		},
	}
	s.step = func(s *scene, looks int) {
		s.instances = nil
		for i := range s.functions {
			live(s, &s.functions[i], i, looks)
		}
	}
	return s
}

func checkout() operator.Function {
	return operator.Function{
		Name: "checkout", Provider: "lambda", QueueLimit: 1000, Frozen: 9, Starts: 118, Ends: map[string]uint64{"scale_in": 84, "rotation": 11},
		Versions: map[string]int{"7": 23}, StartFailures: map[string]uint64{"init_failed": 2},
		Requests:  []operator.RequestCount{{Outcome: "dispatched", Count: 918_233}, {Outcome: "evicted", Cause: "canceled", Count: 41}},
		QueueWait: waits(),
		Bill: operator.Bill{
			MemoryMB: 1024, Invocations: 95, BilledSeconds: 48_000, GBSeconds: 48_000, Running: 24, Dollars: 0.8, DollarsPerHour: 1.44,
			Plain: operator.PlainBill{Dollars: 4.19}, SavedDollars: 3.39,
		},
	}
}

func search() operator.Function {
	return operator.Function{
		Name: "search", Provider: "lambda", QueueLimit: 1000, Frozen: 3, Starts: 31, Ends: map[string]uint64{"rollout": 2, "scale_in": 19},
		Versions: map[string]int{"12": 6, "13": 2}, QueueWait: waits(),
		Requests: []operator.RequestCount{{Outcome: "dispatched", Count: 64_120}},
		Rollout: &operator.Rollout{
			From: "12", To: "13", Phase: "watching", Share: 0.25, BeganAt: time.Now(), Want: 8, Fresh: 2, Starting: 1, Old: 6,
			Before: operator.Served{Answers: 8120, Errors: 3, P99Seconds: .21}, After: operator.Served{Answers: 1904, Errors: 1, P99Seconds: .19},
			Detail: "the step is held for 10s",
		},
		Bill: operator.Bill{
			MemoryMB: 512, Invocations: 21, GBSeconds: 3_100, Running: 9, Dollars: 0.052, DollarsPerHour: 0.27,
			Plain: operator.PlainBill{Dollars: 0.11}, SavedDollars: 0.058,
		},
	}
}

func thumbnails() operator.Function {
	return operator.Function{
		Name: "thumbnails", Provider: "lambda", QueueLimit: 100, Starts: 12, Versions: map[string]int{"3": 2}, QueueWait: waits(),
		Blocked: "throttled_account", StartFailures: map[string]uint64{"throttled_account": 6},
		BlockedDetail: "the account's concurrency is used up; one start at a time, the next in 4s; the last failure: Rate Exceeded.",
		Requests:      []operator.RequestCount{{Outcome: "dispatched", Count: 1201}, {Outcome: "rejected", Cause: "queue_full", Count: 7}},
		Bill:          operator.Bill{MemoryMB: 2048, Invocations: 6, GBSeconds: 900, Running: 2, Dollars: 0.015, DollarsPerHour: 0.24, Plain: operator.PlainBill{Dollars: 0.013}, SavedDollars: -0.002},
	}
}

func waits() operator.Histogram {
	return operator.Histogram{Bounds: []float64{0, .005, .025, .1, .5, 1, 5}, Counts: make([]uint64, 8)}
}

// live lets a function serve one second more.
func live(s *scene, f *operator.Function, number, looks int) {
	count, slots, load := [3]int{23, 8, 2}[number], [3]int{10, 10, 4}[number], 0.62+0.22*math.Sin(float64(looks)/7+float64(number))
	if number == 2 {
		load = 1
	}
	f.InFlight, f.Foreign, f.Ready, f.Capacity = 0, 0, count, count*slots
	for n := range count {
		i := ready(f.Name, n+1, 0, 0, slots)
		full := load*float64(count) - float64(n) // the fullest first, as the pool leases
		i.InFlight = int(math.Round(float64(slots) * math.Max(0, math.Min(1, full))))
		if number == 0 && n == 4 {
			i.Foreign = min(2, slots)
			i.InFlight = min(i.InFlight, slots-i.Foreign)
		}
		if number == 1 && n >= 6 {
			i.FunctionVersion = "13"
		}
		f.InFlight, f.Foreign = f.InFlight+i.InFlight, f.Foreign+i.Foreign
		s.instances = append(s.instances, i)
	}
	s.phases(f, number, count)
	f.Free = f.Capacity - f.InFlight - f.Foreign
	served := uint64(float64(f.InFlight) * 4.2)
	f.Requests[0].Count += served
	f.QueueWait.Counts[0] += served
	if f.QueueDepth = 0; number == 2 {
		f.QueueDepth = 14 + looks%9
		f.QueueWait.Counts[5] += 3
	}
}

// phases adds instances that are not ready.
func (s *scene) phases(f *operator.Function, number, count int) {
	f.Starting, f.Draining, f.Down = [3]int{1, 1, 0}[number], [3]int{1, 1, 0}[number], [3]int{1, 0, 0}[number]
	add := func(state string, change func(i *operator.Instance)) {
		count++
		i := ready(f.Name, count, 0, 0, 10)
		i.State = state
		change(&i)
		s.instances = append(s.instances, i)
	}
	if f.Starting > 0 {
		add("starting", func(i *operator.Instance) { i.WaitsFor = "its app: GET / is answered with 503"; i.Slots = 10 })
	}
	if f.Draining > 0 {
		add("draining", func(i *operator.Instance) { i.DrainReason = "rotation"; i.InFlight = 3 })
	}
	if f.Down > 0 {
		add("down", func(*operator.Instance) {})
	}
}
