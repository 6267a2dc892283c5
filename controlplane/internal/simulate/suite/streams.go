package suite

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/baseline"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

// BesideStreams returns workloads of short requests and of streams, which last one to five minutes, but for those of the last workload.
func BesideStreams() []workload.Generator {
	const long = 15 * minute
	short := workload.Fixed(100 * time.Millisecond)
	pulses := workload.Pulses("", long, minute, 5*second, 10, 400, short)
	day := workload.Diurnal("", long, long, 10, 400, short)
	onOff := workload.Pulses("", long, 30*second, 10*second, 0, 200, workload.Fixed(200*time.Millisecond))
	switching := workload.Switching("", long, []float64{4, 120}, []time.Duration{20 * second, 6 * second}, workload.Lognormal(800*time.Millisecond, 0.6))
	streams := func(perSecond float64) workload.Generator {
		return workload.Streams(workload.Steady("", long, perSecond, uniform(minute, 5*minute)))
	}
	return []workload.Generator{
		workload.Beside("18, 10/s and 400/s for 5 s each minute (`streams`)", pulses, streams(0.1)),
		workload.Beside("18, 10 to 400/s in a day of 15 minutes", day, streams(0.1)),
		workload.Beside("4, 10 s of 200/s in every 30", onOff, streams(0.022)),
		workload.Beside("90, 10 s of 200/s in every 30", onOff, streams(0.5)),
		workload.Beside("18, 4 and 120/s (`mmpp`)", switching, streams(0.1)),
		workload.Beside("15, that come with bursts", pulses, workload.Streams(workload.Pulses("", long, minute, 5*second, 0, 1, uniform(minute, 5*minute)))),
		workload.Beside("20 of 10 to 30 s, 10/s and 400/s for 5 s each minute", pulses,
			workload.Streams(workload.Steady("", long, 1, uniform(10*second, 30*second)))),
	}
}

// RunStreams replays them twice: with our policy, and with our policy where it is not told which requests are streams.
func (p Plan) RunStreams() ([]Row, error) {
	p.Workloads, p.Policies = BesideStreams(), []baseline.Contender{tuned(baseline.Ours, "", func(*scaler.Tuning) {}), untold()}
	return p.Run()
}

func untold() baseline.Contender {
	return baseline.Contender{Name: "streams-untold", About: "does not know which requests will take long", Apply: func(s *simulate.Settings, _ workload.Workload) {
		s.StreamsUntold = true
	}}
}
