package lambdalocal_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// BenchmarkWarmInvoke is one invocation of a frozen environment through the SDK: thaw, run, freeze.
func BenchmarkWarmInvoke(b *testing.B) {
	m := run(b, "runtime", nil)
	m.invoke(order{})
	for b.Loop() {
		m.invoke(order{})
	}
}

// BenchmarkColdStart is the first invocation of a new environment, in turn of one that shares the machine and of an isolated
// one: the ratio is what isolation costs.
func BenchmarkColdStart(b *testing.B) {
	isolations := []string{lambdalocal.IsolationOff, lambdalocal.IsolationAuto}
	took := map[string][]time.Duration{}
	machines := map[string]*machine{}
	for _, isolation := range isolations {
		machines[isolation] = runWith(b, "runtime", func(c *lambdalocal.Config, _ *lambdalocal.Function) { c.Isolation = isolation })
	}
	for b.Loop() {
		for _, isolation := range isolations {
			took[isolation] = append(took[isolation], machines[isolation].coldStart())
		}
	}
	shared, own := median(took[lambdalocal.IsolationOff]), median(took[lambdalocal.IsolationAuto])
	b.ReportMetric(float64(shared.Microseconds())/1000, "shared-ms")
	b.ReportMetric(float64(own.Microseconds())/1000, "isolated-ms")
	b.ReportMetric(float64(own)/float64(shared), "ratio")
}

// coldStart is how long a first invocation takes.
func (m *machine) coldStart() time.Duration {
	began := time.Now()
	m.invoke(order{})
	took := time.Since(began)
	m.Kill(m.Environments()[0].ID)
	m.eventually("gone", func() bool { return len(m.Environments()) == 0 })
	return took
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}
