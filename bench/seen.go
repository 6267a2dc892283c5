package main

import (
	"context"
	"fmt"
	"io"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load"
)

// A look is one way to see requests.
type look struct{ name, keys string }

// looks are compared by -seen. The log's lines go to a file in memory's reach; the collector is away, so spans are made and dropped.
func looks(l *lab.Lab) []look {
	log := fmt.Sprintf("access_log: {to: %q}\n", l.Path("access.log"))
	const tracing = "tracing: {endpoint: \"http://127.0.0.1:1\", sampling: %v}\n"
	return []look{
		{"off", ""},
		{"access log", log},
		{"traces, 1 % of requests", fmt.Sprintf(tracing, 0.01)},
		{"traces, all requests", fmt.Sprintf(tracing, 1)},
	}
}

// runSeen measures what it costs to see requests: the same path with nothing, with an access log, and with traces, in turn.
func runSeen(ctx context.Context, l *lab.Lab, s settings, stdout io.Writer) error {
	var systems []*system
	for n, one := range looks(l) {
		sub, err := l.Sub(fmt.Sprintf("k%d", n))
		if err != nil {
			return err
		}
		l.Defer(sub.Close)
		t, err := startThrough(ctx, sub, way{}, map[string]int{"app": 2 * (s.Connections/s.Apps + 1)}, one.keys)
		if err != nil {
			return err
		}
		t.name = one.name
		if err := t.startApps(ctx, sub, "app", s.Apps); err != nil {
			return err
		}
		systems = append(systems, &t.system)
	}
	samples, err := rounds(ctx, systems, s.Rounds, load.Options{Connections: s.Connections, Duration: s.Round})
	if err != nil {
		return err
	}
	off := newRow(samples[0])
	fmt.Fprintf(stdout, "\nCPU in µs per request, %d rounds of %v each, in turn\n\n| | requests/s | Envoy | control plane + relay | total | total / off |\n|---|---|---|---|---|---|\n", s.Rounds, s.Round)
	for n, one := range systems {
		row := newRow(samples[n])
		fmt.Fprintf(stdout, "| %s | %.0f | %s | %s | %s | %.2f |\n", one.name, row.Rate, us(row.CPU[roleEnvoy]), us(row.CPU[roleControl]),
			us(row.TotalCPU), median(ratios(row, off)))
	}
	return nil
}
