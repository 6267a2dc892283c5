package estimate

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Table writes the result as text for a reader.
func (r Result) Table(w io.Writer) error {
	s, p := r.Service, r.Service.Traffic.Profile
	var text strings.Builder
	fmt.Fprintf(&text, "%s requests/s in the mean (%s a month), %s at the peak; %s each, %.0f %% of it computing; %d MB, init %s, %s.\n",
		fourDigits(p.Mean()), many(p.Mean()*month), fourDigits(p.Peak()), threeDigits(s.Latency), 100*s.CPU, s.MemoryMB, s.Init, s.processor())
	fmt.Fprintf(&text, "Behind Lambda Dispatch: up to %d requests at once in an environment, %s of an environment per request (simulated, %d requests).\n\n",
		s.Slots(), threeDigits(time.Duration(r.Served.Seconds*float64(time.Second))), r.Served.Requests)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "a month\tcompute\tfront\tentry\tnetwork\tlogs\ttotal\tcold starts\t")
	for _, b := range r.Bills {
		fmt.Fprintln(table, row(b))
	}
	table.Flush()
	for _, b := range r.Bills {
		if b.Unfit != "" {
			fmt.Fprintf(&text, "%s does not fit: %s.\n", b.Way, b.Unfit)
		}
	}
	fmt.Fprintf(&text, "\n%s\n\n", r.Verdict.Sentence)
	for _, warning := range r.Warnings {
		fmt.Fprintf(&text, "- %s\n", warning)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// fourDigits writes a number with four digits that count, and never as 1e+06.
func fourDigits(v float64) string {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	return plainly(rounded)
}

// threeDigits rounds a time to what a reader wants of it.
func threeDigits(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d >= 1000*unit {
		unit *= 10
	}
	return d.Round(unit)
}

func (s Service) processor() string {
	if s.ARM {
		return "arm64"
	}
	return "x86_64"
}

func row(b Bill) string {
	cells := []string{b.Way}
	for _, kind := range Kinds() {
		cells = append(cells, b.Sum(kind).String())
	}
	cells = append(cells, b.Total.String(), many(b.ColdStarts))
	if b.Unfit != "" {
		cells[len(cells)-1] = "does not fit"
	}
	return strings.Join(cells, "\t") + "\t"
}

// JSON writes the whole result as JSON.
func (r Result) JSON(w io.Writer) error {
	s, p := r.Service, r.Service.Traffic.Profile
	out := struct {
		Prices   map[string]string `json:"prices"`
		Traffic  map[string]any    `json:"traffic"`
		Service  map[string]any    `json:"service"`
		Served   map[string]any    `json:"simulated"`
		Bills    []Bill            `json:"bills"`
		Verdict  Verdict           `json:"verdict"`
		Warnings []string          `json:"warnings"`
	}{
		Prices: map[string]string{"date": r.Prices.Date, "region": r.Prices.Region},
		Traffic: map[string]any{
			"requests_per_second": p.Mean(), "peak_requests_per_second": p.Peak(), "period_seconds": p.Period().Seconds(),
			"requests_per_month": p.Mean() * month,
		},
		Service: s.values(),
		Served: map[string]any{
			"slots": s.Slots(), "instance_seconds_per_request": r.Served.Seconds, "invocations_per_request": r.Served.Invocations,
			"times_slower": r.Served.Slower, "requests": r.Served.Requests,
		},
		Bills: r.Bills, Verdict: r.Verdict, Warnings: r.Warnings,
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

func (s Service) values() map[string]any {
	return map[string]any{
		"latency_seconds": s.Latency.Seconds(), "cpu_share": s.CPU, "memory_mb": s.MemoryMB, "init_seconds": s.Init.Seconds(),
		"concurrency": s.Concurrency, "architecture": s.processor(), "request_bytes": s.RequestBytes, "response_bytes": s.ResponseBytes,
		"outbound_bytes": s.OutboundBytes, "log_bytes": s.LogBytes, "access_log_bytes": s.AccessLog,
		"requests_per_connection": s.PerConnection, "layout": s.Layout, "balancer": s.Balancer, "network": s.Network,
		"discount_lambda": s.Discounts.Lambda, "discount_fargate": s.Discounts.Fargate, "discount_ec2": s.Discounts.EC2,
		"free_tier": s.FreeTier,
	}
}
