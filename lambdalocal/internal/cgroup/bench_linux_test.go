package cgroup

import (
	"os/exec"
	"testing"
	"time"
)

// BenchmarkGroup is what an environment's start pays: a group, and one process in it.
func BenchmarkGroup(b *testing.B) {
	h, err := Open()
	b.Cleanup(h.Close)
	if err != nil {
		b.Skip(err)
	}
	var making, adding, closing time.Duration
	for b.Loop() {
		b.StopTimer()
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		began := time.Now()
		g, err := h.New("bench", Limits{Memory: 1 << 30, Processes: 1024})
		if err != nil {
			b.Fatal(err)
		}
		made := time.Now()
		if err := g.Add(cmd.Process.Pid); err != nil {
			b.Fatal(err)
		}
		added := time.Now()
		b.StopTimer()
		_, _ = cmd.Process.Kill(), cmd.Wait()
		ended := time.Now()
		g.Close()
		making, adding, closing = making+made.Sub(began), adding+added.Sub(made), closing+time.Since(ended)
		b.StartTimer()
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(per(making), "make-ms")
	b.ReportMetric(per(adding), "add-ms")
	b.ReportMetric(per(closing), "close-ms")
}
