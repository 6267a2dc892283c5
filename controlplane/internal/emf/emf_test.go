package emf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

func web(served, full, left uint64, waits ...uint64) operator.Function {
	return operator.Function{
		Name: "web", QueueDepth: 3, Ready: 2, Starts: 4, StartFailures: map[string]uint64{"crashed": 1},
		Requests: []operator.RequestCount{
			{Outcome: "dispatched", Count: served},
			{Outcome: "rejected", Cause: "queue_full", Count: full},
			{Outcome: "evicted", Cause: "canceled", Count: left},
		},
		QueueWait: operator.Histogram{Bounds: []float64{0, .1, 1}, Counts: append(waits, make([]uint64, 4-len(waits))...)},
		Own:       operator.Bill{MemoryMB: 512, GBSeconds: float64(served) / 2, BilledSeconds: 1},
	}
}

// runs lets a writer run while the test changes what it sees, in a synctest bubble.
func runs(t *testing.T, o Options) (stop func()) {
	log, _ := logtest.NewNullLogger()
	o.Log, o.Namespace = log, "LambdaDispatch"
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(o).Run(ctx) }()
	synctest.Wait()
	return func() { cancel(); require.NoError(t, <-done) }
}

// A scene is what a writer sees, and what it has written.
type scene struct {
	mu    sync.Mutex
	now   operator.Function
	leads bool
	out   bytes.Buffer
}

func (s *scene) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *scene) functions() []operator.Function {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []operator.Function{s.now}
}

func (s *scene) led() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leads
}

func (s *scene) set(now operator.Function, leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.leads = now, leads
}

// written is what was written since it was asked last.
func (s *scene) written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.out.Reset()
	return s.out.String()
}

func (s *scene) afterAMinute() string {
	time.Sleep(time.Minute)
	synctest.Wait()
	return s.written()
}

func TestALineSaysWhatHasHappenedSinceTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{now: web(100, 10, 5, 90, 10), leads: true}
		stop := runs(t, Options{Interval: time.Minute, Out: s, Functions: s.functions, Leads: s.led})
		s.set(web(300, 11, 8, 140, 110, 50), true)
		line := s.afterAMinute()
		require.JSONEq(t, `{"_aws":{"Timestamp":946684860000,"CloudWatchMetrics":[{"Namespace":"LambdaDispatch","Dimensions":[["Function"]],"Metrics":[
			{"Name":"Requests","Unit":"Count"},{"Name":"Refused","Unit":"Count"},{"Name":"Waiting","Unit":"Count"},{"Name":"Instances","Unit":"Count"},
			{"Name":"Starts","Unit":"Count"},{"Name":"StartFailures","Unit":"Count"},{"Name":"BilledSeconds","Unit":"Seconds"},
			{"Name":"QueueTimeP50","Unit":"Milliseconds"},{"Name":"QueueTimeP90","Unit":"Milliseconds"},{"Name":"QueueTimeP99","Unit":"Milliseconds"}]}]},
			"Function":"web","Requests":204,"Refused":1,"Waiting":3,"Instances":2,"Starts":0,"StartFailures":0,"BilledSeconds":200,
			"QueueTimeP50":50,"QueueTimeP90":640,"QueueTimeP99":964}`, line)
		require.True(t, strings.HasSuffix(line, "}\n"))

		s.set(web(307, 11, 8, 140, 110, 50), false)
		require.Contains(t, s.afterAMinute(), `"Requests":7,`, "the last words of one that led")
		require.Empty(t, s.afterAMinute(), "a standby says nothing")
		s.set(web(307, 11, 8, 140, 110, 50), true)
		stop()
		line = s.written()
		require.Contains(t, line, `"Requests":0,`, "what is left, at the end")
		require.NotContains(t, line, "QueueTime", "nothing is said of requests that were not")
	})
}

func TestItIsOffByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := runs(t, Options{Out: fails{}})
		time.Sleep(time.Hour)
		stop()
	})
}

type fails struct{}

func (fails) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWhatCannotBeWrittenStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, hook := logtest.NewNullLogger()
		w := New(Options{
			Interval: time.Minute, Out: fails{}, Log: log, Leads: func() bool { return true },
			Functions: func() []operator.Function { return []operator.Function{web(1, 0, 0)} },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(time.Hour)
		cancel()
		require.NoError(t, <-done)
		require.Len(t, hook.AllEntries(), 1)
	})
}

// Whatever the counters do, also begin anew, every value is a number that CloudWatch takes, and quantiles rise.
func TestEveryLineIsOneThatCloudWatchTakes(t *testing.T) {
	numbers := rapid.Uint64Range(0, 1_000_000)
	function := rapid.Custom(func(t *rapid.T) operator.Function {
		f := web(numbers.Draw(t, "served"), numbers.Draw(t, "full"), numbers.Draw(t, "left"), rapid.SliceOfN(numbers, 4, 4).Draw(t, "waits")...)
		f.Own.MemoryMB = rapid.SampledFrom([]int{0, 128}).Draw(t, "memory")
		return f
	})
	rapid.Check(t, func(t *rapid.T) {
		metrics := since(function.Draw(t, "before"), function.Draw(t, "now"))
		last := 0.0
		for _, m := range metrics {
			if m.value < 0 || math.IsNaN(m.value) || math.IsInf(m.value, 0) {
				t.Fatalf("%+v", m)
			}
			if strings.HasPrefix(m.name, "QueueTime") {
				if m.value < last || m.value > 1000 {
					t.Fatalf("%+v after %v", m, last)
				}
				last = m.value
			}
		}
		_, err := json.Marshal(document(time.Unix(0, 0), "n", "f", metrics))
		if err != nil {
			t.Fatal(err)
		}
	})
}
