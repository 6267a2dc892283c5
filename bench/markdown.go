package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// markdown is the page of a run whose data is in the file.
func (r *report) markdown(file string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Results

Made by `+"`make bench`"+`; do not edit. Data: [%[1]s](%[1]s). What the columns mean and where the time goes:
[docs/performance.md](../../docs/performance.md).

%[2]s
Load generator, Envoy with %[3]d workers, control plane and %[4]d app processes share the cores.

`, file, &r.Origin, r.Settings.Workers, r.Settings.Apps)
	r.throughputTable(&b)
	r.singleTable(&b)
	r.otherTable(&b)
	r.aimsTable(&b)
	return b.String()
}

func (r *report) throughputTable(b *strings.Builder) {
	fmt.Fprintf(b, `## Under load

%d HTTP/1.1 connections, each with one request at all times; answers of 128 bytes; %d rounds of %v each, in turn. CPU in µs
per request.

| | requests/s | p50 | p99 | Envoy | control plane + relay | apps | total | total / plain |
|---|---|---|---|---|---|---|---|---|
`, r.Settings.Connections, r.Settings.Rounds, r.Settings.Round)
	for _, name := range r.names() {
		row := r.Throughput[name]
		fmt.Fprintf(b, "| %s | %.0f | %s | %s | %s | %s | %s | %s | %s |\n", titles[name], row.Rate, ms(row.P50), ms(row.P99),
			us(row.CPU[roleEnvoy]), us(row.CPU[roleControl]), us(row.CPU[roleApps]), us(row.TotalCPU), r.ratio(name))
	}
	b.WriteString("\n")
}

func (r *report) singleTable(b *strings.Builder) {
	fmt.Fprintf(b, `## One request at a time

%d rounds of %v each.

| | requests/s | p50 | p99 | p50 above plain | CPU, total |
|---|---|---|---|---|---|
`, r.Settings.SingleRounds, r.Settings.SingleRound)
	for _, name := range r.names() {
		row := r.Single[name]
		fmt.Fprintf(b, "| %s | %.0f | %s | %s | %s | %s |\n", titles[name], row.Rate, ms(row.P50), ms(row.P99),
			ms(r.added(name)), us(row.TotalCPU))
	}
	b.WriteString("\n")
}

func (r *report) otherTable(b *strings.Builder) {
	fmt.Fprintf(b, `## Instances

First answer: from a standing control stream and tunnel to the answer in the client's hands, for a request that was held at
Envoy; %d trials. Memory: resident, %d instances, per instance; "served" after each has answered once, which leaves it with
a connection of Envoy's. CPU: of control plane and relay, user and system, with all these instances idle for a minute.

| | first answer p50 | min to max | control plane + relay, idle | served | Envoy, idle | served | CPU, idle |
|---|---|---|---|---|---|---|---|
`, r.Settings.Trials, r.Settings.Instances)
	for _, i := range r.Idle {
		name := i.Way
		first := r.First[name]
		fmt.Fprintf(b, "| %s | %s | %s to %s | %s | %s | %s | %s | %.1f %% of a core |\n", titles[name], ms(first.P50), ms(first.Min),
			ms(first.Max), kb(i.Control.RSS), kb(i.ControlServed.RSS), kb(i.Envoy.RSS), kb(i.EnvoyServed.RSS), 100*i.ControlIdleCPU)
	}
	b.WriteString("\n")
}

func (r *report) aimsTable(b *strings.Builder) {
	b.WriteString("## Aims\n\n| | aim |")
	for _, w := range ways {
		fmt.Fprintf(b, " %s |", titles[w.String()])
	}
	b.WriteString("\n|---|---|---|---|---|\n")
	line := func(what, aim string, value func(name string) string) {
		fmt.Fprintf(b, "| %s | %s |", what, aim)
		for _, w := range ways {
			fmt.Fprintf(b, " %s |", value(w.String()))
		}
		b.WriteString("\n")
	}
	line("CPU of a request, against plain Envoy", fmt.Sprintf("at most %.1f times", aimCPURatio), r.ratio)
	line("added p50, one request at a time", "at most "+ms(aimAddedP50), func(name string) string { return ms(r.added(name)) })
	line("tunnel up to first answer, p50", "at most "+ms(aimFirstAnswer), func(name string) string { return ms(r.First[name].P50) })
	line("control plane + relay, per idle instance", kb(aimIdleTLS)+", "+kb(aimIdlePlain)+" without TLS", func(name string) string {
		return kb(r.idleBy(name).Control.RSS)
	})
	line("control plane + relay, CPU while all are idle", fmt.Sprintf("at most %.0f %% of a core", 100*aimIdleCPU), func(name string) string {
		return fmt.Sprintf("%.1f %%", 100*r.idleBy(name).ControlIdleCPU)
	})
}

// idleBy is what was measured of a way's idle instances.
func (r *report) idleBy(name string) idle {
	for _, i := range r.Idle {
		if i.Way == name {
			return i
		}
	}
	return idle{}
}

var titles = map[string]string{
	plainName:        "plain Envoy",
	ways[0].String(): "Lambda Dispatch, TLS on the tunnel",
	ways[1].String(): "Lambda Dispatch, tunnel without TLS",
	ways[2].String(): "Lambda Dispatch, TLS, relay apart",
}

func (r *report) names() []string {
	names := []string{plainName}
	for _, w := range ways {
		names = append(names, w.String())
	}
	return names
}

// ratio is the total CPU against plain Envoy's, with the extremes of single rounds.
func (r *report) ratio(name string) string {
	if name == plainName {
		return "1"
	}
	of, to := r.Throughput[name], r.Throughput[plainName]
	each := ratios(of, to)
	return fmt.Sprintf("**%.2f** (%.2f to %.2f)", float64(of.TotalCPU)/float64(to.TotalCPU), slices.Min(each), slices.Max(each))
}

func (r *report) added(name string) time.Duration {
	return r.Single[name].P50 - r.Single[plainName].P50
}

func us(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Microsecond)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

func kb(bytes int64) string { return fmt.Sprintf("%.0f KB", float64(bytes)/1000) }
