package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// markdown is the page of a run whose data is in the file.
func (r *report) markdown(file string) string {
	var b strings.Builder
	prices := lambdalocal.Default().Prices
	fmt.Fprintf(&b, `# The bill

Made by `+"`make bench-bill`"+`; do not edit. Data: [%[1]s](%[1]s). How it is measured:
[docs/performance.md](../../docs/performance.md#the-bill).

%[2]s

Dollars are those of lambdalocal's ledger: $%.10[6]f for a GB-second, $%.2[7]f for a million invocations (list prices of
us-east-1 for x86), functions of %[3]d MB, every started millisecond billed, init included. **Direct** is one request per
environment, as behind a function URL. **Dispatched** is through Envoy and the control plane, ten requests per instance,
all settings at their defaults. **Managed Instances** are three of EC2's c7i.large and their fee, for as long as requests come, with
functions of %[8]d MB and up to 64 requests at once in an environment. A cold start waits %[4]v (median; one in a hundred %[5]v) before its init, which is not billed.
Envoy and the control plane are not in it: they are a machine of yours.

`, file, r.Origin, r.MemoryMB, lab.ColdP50, lab.ColdP99, prices.GBSecondX86, prices.MillionRequests, lab.ManagedMB)
	r.billTable(&b)
	r.estimateTable(&b)
	r.loneTable(&b)
	r.rateTable(&b)
	return b.String()
}

func (r *report) billTable(b *strings.Builder) {
	b.WriteString(`## Three workloads

| | | invocations | GB-s | GB-s / work | dollars | for a million requests | environments | p50 | p99 |
|---|---|---|---|---|---|---|---|---|---|
`)
	for _, p := range r.Bills {
		sideRow(b, fmt.Sprintf("**%s**: %s, %d requests", p.Workload, p.About, p.Requests), "direct", p.Direct, p)
		sideRow(b, "", "dispatched", p.Through, p)
		fmt.Fprintf(b, "| | dispatched / direct | | **%.2f** | | **%.2f** | | | | |\n",
			p.Through.GBSeconds/p.Direct.GBSeconds, p.Through.Dollars/p.Direct.Dollars)
		m := p.Managed
		fmt.Fprintf(b, "| | managed instances | %d | | | %.8f | %s | | %s | %s |\n",
			m.Invocations, m.Dollars, perMillion(m.Dollars, p.Requests), ms(m.Latency.P50), ms(m.Latency.P99))
	}
	b.WriteString(`
Work is the requests' service times, added up. Dispatched: until the last instance has ended. Each environment is a cold
start. Latency is from the time at which a request was due.

`)
	r.managedText(b)
}

// managedText says from which rates on instances that cost whatever comes are cheaper.
func (r *report) managedText(b *strings.Builder) {
	prices := lambdalocal.Default().Prices
	for _, p := range r.Bills {
		if p.Workload != "steady" {
			continue
		}
		n := float64(p.Requests)
		fmt.Fprintf(b, `Managed Instances cost the same whatever comes: with requests like the steady ones as much as **%.0f requests/s** direct, or
**%.0f requests/s** dispatched. More instances come where these are half busy. Envoy and what it runs on are not in it; neither is a
discount on EC2.

`, p.Managed.even(p.Direct.Dollars/n, prices), p.Managed.even(p.Through.Dollars/n, prices))
	}
}

func sideRow(b *strings.Builder, workload, way string, s side, p pair) {
	fmt.Fprintf(b, "| %s | %s | %d | %.3f | %.2f | %.8f | %s | %d | %s | %s |\n", workload, way, s.Invocations, s.GBSeconds, s.GBSeconds/p.Work,
		s.Dollars, perMillion(s.Dollars, p.Requests), s.Environments, ms(s.Latency.P50), ms(s.Latency.P99))
}

func (r *report) estimateTable(b *strings.Builder) {
	fmt.Fprintf(b, `## What the control plane says

Its own bill of what was dispatched, which may be at most %.1f %% from the ledger's, and its model of what one request per
environment would have cost, beside what that did cost.

| | GB-s, ledger | control plane | off by | dollars, ledger | control plane | off by | direct, ledger | its model | off by |
|---|---|---|---|---|---|---|---|---|---|
`, 100*aimOff)
	for _, p := range r.Bills {
		fmt.Fprintf(b, "| %s | %.3f | %.3f | %s | %.8f | %.8f | %s | %.8f | %.8f | %s |\n", p.Workload,
			p.Through.GBSeconds, p.Estimate.GBSeconds, percent(off(p.Through.GBSeconds, p.Estimate.GBSeconds)),
			p.Through.Dollars, p.Estimate.Dollars, percent(off(p.Through.Dollars, p.Estimate.Dollars)),
			p.Direct.Dollars, p.Estimate.PlainDollars, percent(off(p.Direct.Dollars, p.Estimate.PlainDollars)))
	}
	b.WriteString("\n")
}

func (r *report) loneTable(b *strings.Builder) {
	l := r.Lone
	each := func(s side) string { return fmt.Sprintf("%.1f ms", float64(s.BilledMs)/float64(l.Requests)) }
	fmt.Fprintf(b, `## A lone request

%d requests of 50 ms, one each second, to functions that are stopped in between: %d invocations when dispatched, all of them
in a warm environment.

| | direct | dispatched | dispatched / direct | aim |
|---|---|---|---|---|
| billed, mean | %s | %s | **%.2f** | at most %g |
| dollars for a million | %s | %s | %.2f | |
| latency, p50 | %s | %s | | |

`, l.Requests, l.Through.Invocations, each(l.Direct), each(l.Through), l.times(), aimLone,
		perMillion(l.Direct.Dollars, l.Requests), perMillion(l.Through.Dollars, l.Requests), l.Through.Dollars/l.Direct.Dollars,
		ms(l.Direct.Latency.P50), ms(l.Through.Latency.P50))
}

func (r *report) rateTable(b *strings.Builder) {
	b.WriteString(`## Break-even

Requests of 50 ms at random times (Poisson), while they come: the beginning and the end are left out, but for the sparse
workload, which is the first row. Direct, they cost what lone ones do.

| requests/s | requests | instances started | dispatched, dollars for a million | direct | dispatched / direct |
|---|---|---|---|---|---|
`)
	direct := r.Lone.Direct.Dollars / float64(r.Lone.Requests)
	for _, v := range r.Rates {
		fmt.Fprintf(b, "| %g | %d | %d | %s | %s | %.2f |\n", v.PerSecond, v.Requests, v.Invocations,
			perMillion(v.Dollars, v.Requests), perMillion(direct, 1), v.Dollars/float64(v.Requests)/direct)
	}
	if rate, found := r.breakEven(); found {
		fmt.Fprintf(b, "\nDispatched is cheaper from about **%.0f requests/s** on (a straight line between the rates around it).\n", rate)
	} else {
		b.WriteString("\nThe break-even is not between these rates.\n")
	}
}

func perMillion(dollars float64, requests int) string {
	return fmt.Sprintf("%.2f", dollars/float64(requests)*1e6)
}

func percent(part float64) string { return fmt.Sprintf("%.3f %%", 100*part) }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
