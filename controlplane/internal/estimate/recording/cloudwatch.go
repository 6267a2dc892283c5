package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate"
)

// mostExport bounds a file.
const mostExport = 64 << 20

// A metric is one that CloudWatch has of a function or a balancer.
type metric int

const (
	unknown metric = iota
	requests
	duration // of a function, milliseconds
	response // of a balancer's target, seconds
	bytesOf  // both ways
)

// metricOf returns the metric with whose name a label begins or ends.
func metricOf(label string) metric {
	for _, m := range []struct {
		name string
		is   metric
	}{{"requestcount", requests}, {"invocations", requests}, {"targetresponsetime", response}, {"duration", duration}, {"processedbytes", bytesOf}} {
		name := strings.ToLower(strings.Map(letters, label))
		if strings.HasSuffix(name, m.name) || strings.HasPrefix(name, m.name) {
			return m.is
		}
	}
	return unknown
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}

const knownMetrics = "RequestCount or Invocations (Sum), TargetResponseTime or Duration (Average), ProcessedBytes (Sum)"

// A point is one value of one metric.
type point struct {
	of    metric
	at    time.Time
	value float64
}

// A CloudWatch collects what exports say. The zero value has read nothing.
type CloudWatch struct {
	points  map[metric]map[time.Time]float64
	ignored map[string]bool
}

// Read reads one file: what `aws cloudwatch get-metric-data` or `get-metric-statistics` prints, or CSV with a time and metrics in
// columns, as the console saves it; gzipped or not. The name is for errors.
func (c *CloudWatch) Read(name string, r io.Reader) error {
	file, err := open(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	text, err := io.ReadAll(io.LimitReader(file, mostExport+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > mostExport {
		return fmt.Errorf("%s: longer than %d MB", name, mostExport>>20)
	}
	if c.points == nil {
		c.points, c.ignored = map[metric]map[time.Time]float64{}, map[string]bool{}
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		err = c.json(text)
	} else {
		err = c.csv(text)
	}
	if err != nil {
		return fmt.Errorf("%s:%w", name, err)
	}
	return nil
}

// add takes a point. Two files may hold the same one, but not two values of it.
func (c *CloudWatch) add(p point) error {
	if !(p.value >= 0 && p.value <= 1e18) {
		return fmt.Errorf("%v is not a metric value", p.value)
	}
	if c.points[p.of] == nil {
		c.points[p.of] = map[time.Time]float64{}
	}
	if old, twice := c.points[p.of][p.at]; twice && old != p.value {
		return fmt.Errorf("a second value for %s, %v and %v: export one function or balancer at a time", p.at.Format(time.RFC3339), old, p.value)
	}
	c.points[p.of][p.at] = p.value
	return nil
}

// Recording returns what all files say together.
func (c *CloudWatch) Recording() (Recording, error) {
	counts := c.points[requests]
	if len(counts) == 0 {
		return Recording{}, fmt.Errorf("no metric that counts requests; known are %s", knownMetrics)
	}
	times := slices.SortedFunc(maps.Keys(counts), time.Time.Compare)
	first, last := times[0], times[len(times)-1]
	if err := checkSpan(first, last); err != nil {
		return Recording{}, err
	}
	step, err := periodOf(times)
	if err != nil {
		return Recording{}, err
	}
	r := Recording{RequestBytes: -1, ResponseBytes: -1, Notes: short(last.Add(step).Sub(first))}
	r.Traffic.Profile = profileOf(counts, times, step)
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	if sum == 0 {
		return Recording{}, errNone
	}
	r.Requests = int(sum)
	c.means(&r, counts, sum)
	r.Notes = append(r.Notes, fmt.Sprintf("Peaks shorter than %s do not show in the export; an access log shows them.", step))
	for _, label := range slices.Sorted(maps.Keys(c.ignored)) {
		r.Notes = append(r.Notes, fmt.Sprintf("The metric %q is not used; known are %s.", label, knownMetrics))
	}
	return r, nil
}

// means fills in latency and bytes, weighted by the requests of each time. A function's own Duration is preferred to a balancer's
// TargetResponseTime, which includes cold starts.
func (c *CloudWatch) means(r *Recording, counts map[time.Time]float64, sum float64) {
	r.Latency = c.mean(duration, time.Millisecond, counts)
	if r.Latency == 0 {
		r.Latency = c.mean(response, time.Second, counts)
	}
	if processed := c.points[bytesOf]; len(processed) > 0 {
		total := 0.0
		for _, v := range processed {
			total += v
		}
		r.RequestBytes, r.ResponseBytes = total/sum/10, total/sum*9/10
		r.Notes = append(r.Notes, "ProcessedBytes counts both ways: a tenth is taken to be requests.")
	}
}

// mean returns the weighted mean of a metric whose values are in that unit; 0 if it is not known.
func (c *CloudWatch) mean(of metric, unit time.Duration, counts map[time.Time]float64) time.Duration {
	weighed, n := 0.0, 0.0
	for at, v := range c.points[of] {
		weighed += v * counts[at]
		n += counts[at]
	}
	if n == 0 {
		return 0
	}
	return time.Duration(weighed / n * float64(unit))
}

// periodOf returns the export's period, which is the shortest time between two values.
func periodOf(times []time.Time) (time.Duration, error) {
	if len(times) < 2 {
		return 0, errors.New("only one value of requests: at least two say what the period is")
	}
	step := times[1].Sub(times[0])
	for k := range times[1:] {
		step = min(step, times[k+1].Sub(times[k]))
	}
	if step < time.Second {
		return 0, fmt.Errorf("values %s apart: the period must be a second or more", step)
	}
	return step, nil
}

func profileOf(counts map[time.Time]float64, times []time.Time, step time.Duration) estimate.Profile {
	first, last := times[0], times[len(times)-1]
	p := estimate.Profile{Step: step, Rates: make([]float64, 1+int(last.Sub(first)/step))}
	for at, n := range counts {
		p.Rates[int(at.Sub(first)/step)] += n / step.Seconds()
	}
	return p
}
