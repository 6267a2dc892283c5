package uplink

import (
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
)

// BenchmarkLoads is a hundred instances that report as often as a busy function's do: 5,000 times a second together. It
// measures the processor time of each report, of both ends.
func BenchmarkLoads(b *testing.B) {
	for name, over := range map[string]func(*testing.B, *Leader) Dial{
		"one process": func(_ *testing.B, l *Leader) Dial { return l.Here() },
		"socket":      func(b *testing.B, l *Leader) Dial { return overSocket(b, l) },
	} {
		b.Run(name, func(b *testing.B) { benchmarkLoads(b, over) })
	}
}

func benchmarkLoads(b *testing.B, over func(*testing.B, *Leader) Dial) {
	log := logrus.New()
	log.SetOutput(b.Output())
	log.SetLevel(logrus.ErrorLevel)
	sink := &listener{}
	l := NewLeader(sink, log)
	l.Lead(1)
	r := NewRelay(Options{Hello: tables.Hello{Relay: "pair", Boot: "b"}, Dials: map[string]Dial{"cp": over(b, l)}, Log: log})
	r.Connect(&obedient{})
	stop := running(r)
	defer stop()
	for !sink.heard("synced") {
		time.Sleep(often)
	}
	for i := range 100 {
		l.Expect(tables.Expectation{Instance: strconv.Itoa(i), Function: "web", Endpoint: "web/0000", Expires: tables.Micros(time.Hour)})
	}
	for i := range 100 {
		for !sink.heard("expected " + strconv.Itoa(i)) {
			time.Sleep(often)
		}
		r.Up(relays.Up{Instance: strconv.Itoa(i), Environment: "e", Slots: 10})
	}
	before := processorTime()
	b.ResetTimer()
	for n := range b.N {
		r.Load(strconv.Itoa(n%100), relays.Load{InFlight: n % 10})
		if n%5 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "µs-cpu/op")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func overSocket(b *testing.B, l *Leader) Dial {
	socket := filepath.Join(b.TempDir(), "s")
	listen(b, socket, l)
	return To(socket, trust.Socket())
}
