package cgroup

import (
	"os/exec"
	"testing"
	"time"
)

// BenchmarkGroup is what an environment's start pays, and its end: a group, and one process in it, beside one without a group.
func BenchmarkGroup(b *testing.B) {
	h, err := Open()
	b.Cleanup(h.Close)
	if err != nil {
		b.Skip(err)
	}
	var without, making, within, closing time.Duration
	lap := func(sum *time.Duration, do func()) {
		began := time.Now()
		do()
		*sum += time.Since(began)
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		alone, member := exec.Command("true"), exec.Command("true")
		lap(&without, func() { must(alone.Start()) })
		var g *Group
		lap(&making, func() { g, err = h.New("bench", Limits{Memory: 1 << 30, Processes: 1024}) })
		must(err)
		lap(&within, func() { must(begin(g, member)) })
		_, _ = alone.Wait(), member.Wait()
		lap(&closing, g.Close)
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(per(without), "without-ms")
	b.ReportMetric(per(making), "make-ms")
	b.ReportMetric(per(within), "within-ms")
	b.ReportMetric(per(closing), "close-ms")
}
