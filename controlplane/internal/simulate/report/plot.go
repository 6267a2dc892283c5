package report

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate"
)

const (
	plotWidth   = 720.0
	panelHeight = 110.0
	left        = 52.0
	gap         = 34.0
)

// A line is one curve of a panel.
type line struct {
	name, colour string
	at           func(simulate.Sample) float64
}

const (
	blue   = "#1f6feb"
	orange = "#d9730d"
	grey   = "#8b949e"
	green  = "#2da44e"
)

// panels are drawn one below the other.
func panels(r simulate.Result) []struct {
	title string
	lines []line
} {
	every := 1.0
	if n := len(r.Series); n > 1 {
		every = (r.Series[n-1].At - r.Series[0].At).Seconds() / float64(n-1)
	}
	return []struct {
		title string
		lines []line
	}{
		{"requests per second", []line{{"arrivals", blue, func(s simulate.Sample) float64 { return float64(s.Arrivals) / every }}}},
		{"in flight", []line{{"in flight", blue, func(s simulate.Sample) float64 { return float64(s.InFlight) }}}},
		{"instances", []line{
			{"ready", blue, func(s simulate.Sample) float64 { return float64(s.Ready) }},
			{"starting", orange, func(s simulate.Sample) float64 { return float64(s.Starting) }},
			{"draining", grey, func(s simulate.Sample) float64 { return float64(s.Draining) }},
			{"least needed", green, func(s simulate.Sample) float64 { return float64(s.Ideal) }},
		}},
		{"queue", []line{{"waiting", orange, func(s simulate.Sample) float64 { return float64(s.Waiting) }}}},
	}
}

// Plot draws a run over time, and below that how long requests waited.
func Plot(w io.Writer, title string, r simulate.Result) error {
	d := drawing{w: w}
	all := panels(r)
	height := 30 + (panelHeight+gap)*float64(len(all)+1)
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="11">`+"\n", plotWidth, height)
	d.printf(`<rect width="100%%" height="100%%" fill="white"/><text x="%g" y="18" font-size="14">%s</text>`+"\n", left, title)
	y := 44.0
	for _, p := range all {
		d.series(y, p.title, p.lines, r.Series)
		y += panelHeight + gap
	}
	d.waits(y, r.All)
	d.printf("</svg>\n")
	return d.err
}

// A drawing writes SVG. It keeps the first error.
type drawing struct {
	w   io.Writer
	err error
}

func (d *drawing) printf(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, format, args...)
	}
}

func (d *drawing) series(y float64, title string, lines []line, samples []simulate.Sample) {
	most, end := 1.0, 1.0
	for _, s := range samples {
		end = max(end, s.At.Seconds())
		for _, l := range lines {
			most = max(most, l.at(s))
		}
	}
	d.frame(y, title, fmt.Sprintf("%.4g", most), fmt.Sprintf("%.4g min", end/60))
	for k, l := range lines {
		d.printf(`<polyline fill="none" stroke="%s" stroke-width="1.2" points="`, l.colour)
		for _, s := range samples {
			d.printf("%.1f,%.1f ", x(s.At.Seconds()/end), y+panelHeight*(1-l.at(s)/most))
		}
		d.printf(`"/><text x="%g" y="%g" fill="%s">%s</text>`+"\n", plotWidth-10-72*float64(len(lines)-k), y-6, l.colour, l.name)
	}
}

func x(share float64) float64 { return left + (plotWidth-left-14)*share }

func (d *drawing) frame(y float64, title, most, end string) {
	d.printf(`<text x="%g" y="%g" font-weight="bold">%s</text>`, left, y-6, title)
	d.printf(`<path d="M%g %gv%gh%g" fill="none" stroke="#444"/>`, left, y, panelHeight, plotWidth-left-14)
	d.printf(`<text x="%g" y="%g" text-anchor="end">%s</text><text x="%g" y="%g" text-anchor="end">0</text>`, left-5, y+9, most, left-5, y+panelHeight)
	d.printf(`<text x="%g" y="%g" text-anchor="end">%s</text>`+"\n", plotWidth-14, y+panelHeight+14, end)
}

// waits draws the share of requests that waited at most so long, from 1 ms to 10 s in logarithmic steps.
func (d *drawing) waits(y float64, w simulate.Waits) {
	d.frame(y, "share of requests that waited at most", "1", "10 s")
	for k, label := range []string{"1 ms", "10 ms", "100 ms", "1 s"} {
		d.printf(`<text x="%g" y="%g">%s</text>`, x(float64(k)/4), y+panelHeight+14, label)
	}
	d.printf(`<polyline fill="none" stroke="%s" stroke-width="1.2" points="`, blue)
	const steps = 160
	at := 0
	for k := range steps + 1 {
		limit := time.Duration(math.Pow(10, 4*float64(k)/steps) * float64(time.Millisecond))
		for at < len(w.Sorted) && w.Sorted[at] <= limit {
			at++
		}
		d.printf("%.1f,%.1f ", x(float64(k)/steps), y+panelHeight*(1-float64(at)/float64(max(1, len(w.Sorted)))))
	}
	d.printf("\"/>\n")
}
