package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

// markdown is the page of a run whose data is in the file.
func (r *report) markdown(file string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Cold starts

Made by `+"`make bench-cold`"+`; do not edit. Data: [%[1]s](%[1]s). How it is measured:
[docs/performance.md](../../docs/performance.md#cold-starts).

%[2]s

**Plain** is one request per environment, as behind a function URL; **dispatched** is through Envoy and the control plane, ten
requests per instance, all settings at their defaults. Both get the same requests at the same moment. %[3]d MB. A cold start
waits %[4]v (median; one in a hundred %[5]v) before its init. Dollars are those of lambdalocal's ledger, init included, without
Envoy and the control plane, which are a machine of yours.
`, file, r.Origin, r.MemoryMB, lab.ColdP50, lab.ColdP99)
	for n, t := range r.Apps {
		t.table(&b)
		if n == 0 {
			b.WriteString(`
![Steady state and scale-up](../../docs/cold/latency.svg)

![How requests are spread over environments](../../docs/cold/spread.svg)
`)
		}
	}
	return b.String()
}

// table is what was seen of an app.
func (t tried) table(b *strings.Builder) {
	if t.Missing != "" {
		fmt.Fprintf(b, "\n%s. Not measured: %s.\n", t.About, t.Missing)
		return
	}
	fmt.Fprintf(b, `
%s.

| | | answers above %v | p50 | p99 | longest | environments | dollars for a million |
|---|---|---|---|---|---|---|---|
`, t.About, tooLong)
	for _, m := range t.Phases {
		row(b, fmt.Sprintf("**%s**: %s", m.Name, m.About), "plain", m.Plain)
		row(b, "", "dispatched", m.Dispatched)
	}
}

func row(b *strings.Builder, phase, way string, s seen) {
	fmt.Fprintf(b, "| %s | %s | **%d** of %d | %s | %s | %s | %d | %.2f |\n", phase, way, s.late(), len(s.Answers),
		took(s.quantile(0.5)), took(s.quantile(0.99)), took(s.quantile(1)), s.Environments, s.Dollars/float64(s.Requests)*1e6)
}

func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
