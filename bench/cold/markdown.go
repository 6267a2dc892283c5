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

An app that answers in %[3]v and takes %[4]v to start, %[5]d MB. **Plain** is one request per environment, as behind a function
URL; **dispatched** is through Envoy and the control plane, ten requests per instance, all settings at their defaults. Both get
the same requests at the same moment. A cold start waits %[6]v (median; one in a hundred %[7]v) before its init. Dollars are
those of lambdalocal's ledger, init included, without Envoy and the control plane, which are a machine of yours.

| | | answers above %[8]v | p50 | p99 | longest | environments | dollars for a million |
|---|---|---|---|---|---|---|---|
`, file, r.Origin, r.Settings.Service, r.Settings.Init, r.MemoryMB, lab.ColdP50, lab.ColdP99, tooLong)
	for _, m := range r.Phases {
		row(&b, fmt.Sprintf("**%s**: %s", m.Name, m.About), "plain", m.Plain)
		row(&b, "", "dispatched", m.Dispatched)
	}
	b.WriteString(`
![Steady state and scale-up](../../docs/cold/latency.svg)

![How requests are spread over environments](../../docs/cold/spread.svg)
`)
	return b.String()
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
