package simulate

import (
	"container/heap"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/lambda"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// Plain replays the workload on plain Lambda. Each request is one invocation, and has an environment to itself until it ends. Nothing
// queues. A request is lost if Lambda throttles it, the init fails, or it takes longer than an invocation may.
func Plain(load workload.Workload, s Settings) Result {
	s.Lambda.Preset.Dial, s.Lambda.Preset.Finish = lambda.Spread{}, lambda.Spread{}
	p := plain{lambda: lambda.New(s.Lambda), meter: newMeter(load, s)}
	for _, r := range load.Requests {
		p.pass(r.At)
		p.invoke(r)
	}
	p.pass(1<<62 - 1)
	m := &p.meter
	return m.result(s, len(load.Requests), p.lambda)
}

type plain struct {
	lambda *lambda.Lambda
	meter  meter
	ends   plainEnds
}

func (p *plain) invoke(r workload.Request) {
	i, outcome := p.lambda.Invoke(r.At, "")
	switch outcome {
	case lambda.Throttled:
		p.meter.rejected++
		return
	case lambda.Runs, lambda.NeverUp: // nothing dials
	case lambda.InitFails:
		p.meter.failed++
		p.meter.started(i.Cold)
		heap.Push(&p.ends, plainEnd{i.Up, i, true})
		return
	}
	served := time.Duration(float64(r.Service) * i.Environment.Times)
	p.meter.started(i.Cold)
	if i.Up+served > i.Deadline {
		p.meter.failed++
		heap.Push(&p.ends, plainEnd{i.Deadline, i, true})
		return
	}
	p.meter.leased(r, i.Up-r.At, i.Cold)
	p.meter.answered(r, i.Up, i.Up+served)
	p.meter.work += served
	heap.Push(&p.ends, plainEnd{i.Up + served, i, false})
}

// pass ends the invocations that are over at that time.
func (p *plain) pass(now time.Duration) {
	for len(p.ends) > 0 && p.ends[0].at <= now {
		e := heap.Pop(&p.ends).(plainEnd)
		p.lambda.End(e.at, e.invocation, e.failed)
	}
}

type plainEnd struct {
	at         time.Duration
	invocation lambda.Invocation
	failed     bool
}

type plainEnds []plainEnd

func (h plainEnds) Len() int           { return len(h) }
func (h plainEnds) Less(a, b int) bool { return h[a].at < h[b].at }
func (h plainEnds) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *plainEnds) Push(x any)        { *h = append(*h, x.(plainEnd)) }
func (h *plainEnds) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = slices.Delete(*h, last, last+1)
	return e
}
