package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Sizes of plots, in points.
const (
	panelWidth  = 300.0
	panelHeight = 150.0
	left        = 46.0
	top         = 40.0
	between     = 66.0
	bottom      = 44.0
)

// Colours that the colour-blind tell apart.
const (
	plainColour      = "#d55e00"
	dispatchedColour = "#0072b2"
)

// The axis of latency is logarithmic: from 10 ms to 20 s.
var ticks = []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second}

const longest = 20 * time.Second

// plot draws the pictures of the README into a folder.
func (r *report) plot(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, draw := range map[string]func() string{"latency.svg": r.latency, "spread.svg": r.spread} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(draw()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A picture is panels side by side.
type picture struct {
	strings.Builder
	panels int
}

func (p *picture) x() float64 { return left + float64(p.panels)*(panelWidth+between) }

// panel begins one with a title and a line below its axis.
func (p *picture) panel(title, below string) (x float64) {
	x = p.x()
	p.panels++
	fmt.Fprintf(p, `<text x="%.0f" y="%.0f" font-weight="bold">%s</text><path d="M%.0f %.0fv%.0fh%.0f" fill="none" stroke="#444"/>`+"\n",
		x, top-8, title, x, top, panelHeight, panelWidth)
	fmt.Fprintf(p, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`+"\n", x+panelWidth/2, top+panelHeight+30, below)
	return x
}

// finish adds the head and what the colours mean.
func (p *picture) finish() string {
	width, height := p.x()-between+20, top+panelHeight+bottom
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11">
<rect width="100%%" height="100%%" fill="white"/>
<circle cx="%.0f" cy="10" r="4" fill="%s"/><text x="%.0f" y="14">one request per environment</text>
<circle cx="%.0f" cy="10" r="4" fill="%s"/><text x="%.0f" y="14">Lambda Dispatch</text>
%s</svg>
`, width, height, left+4, plainColour, left+12, left+204, dispatchedColour, left+212, p.String())
}

// latency shows each answer of the steady state, and of crowds on a warm service and on one that does not run.
func (r *report) latency() string {
	var p picture
	for _, show := range []struct{ phase, title string }{
		{"steady", "Steady state"}, {"crowd", "Scale-up when warm"}, {"scale-up", "Scale-up from nothing"},
	} {
		m := r.phase(show.phase)
		x := p.panel(show.title+": each answer", "seconds")
		length := horizon(m)
		for _, t := range ticks {
			fmt.Fprintf(&p, `<text x="%.0f" y="%.1f" text-anchor="end">%s</text><path d="M%.0f %.1fh%.0f" stroke="#eee"/>`+"\n",
				x-5, height(t)+4, took(t), x, height(t), panelWidth)
		}
		for _, part := range []float64{0, 0.5, 1} {
			fmt.Fprintf(&p, `<text x="%.1f" y="%.0f" text-anchor="middle">%.0f</text>`+"\n",
				x+part*panelWidth, top+panelHeight+15, part*length.Seconds())
		}
		dots(&p, x, length, m.Plain, plainColour)
		dots(&p, x, length, m.Dispatched, dispatchedColour)
	}
	return p.finish()
}

func dots(p *picture, x float64, length time.Duration, s seen, colour string) {
	fmt.Fprintf(p, `<g fill="%s" fill-opacity="0.5">`, colour)
	for _, a := range s.Answers {
		fmt.Fprintf(p, `<circle cx="%.1f" cy="%.1f" r="2"/>`, x+panelWidth*a.At.Seconds()/length.Seconds(), height(a.Took))
	}
	p.WriteString("</g>\n")
}

// height is where a latency is drawn.
func height(d time.Duration) float64 {
	part := math.Log(d.Seconds()/ticks[0].Seconds()) / math.Log(longest.Seconds()/ticks[0].Seconds())
	return top + panelHeight*(1-min(max(part, 0), 1))
}

// horizon is when the last request of a phase was due.
func horizon(m measured) (last time.Duration) {
	for _, a := range m.Plain.Answers {
		last = max(last, a.At)
	}
	return max(last, time.Second)
}

// spread shows how many requests each environment answered.
func (r *report) spread() string {
	var p picture
	for _, show := range []struct{ phase, title string }{{"steady", "Steady state"}, {"crowd", "Scale-up when warm"}} {
		m := r.phase(show.phase)
		plain, dispatched := m.Plain.served(), m.Dispatched.served()
		x := p.panel(show.title+": requests per environment",
			fmt.Sprintf("%d environments, and %d", len(plain), len(dispatched)))
		most := float64(max(plain[0], dispatched[0]))
		fmt.Fprintf(&p, `<text x="%.0f" y="%.0f" text-anchor="end">%.0f</text><text x="%.0f" y="%.0f" text-anchor="end">0</text>`+"\n",
			x-5, top+4, most, x-5, top+panelHeight)
		step := panelWidth / float64(len(plain)+len(dispatched)+1)
		x = bars(&p, x, step, most, plain, plainColour)
		bars(&p, x+step, step, most, dispatched, dispatchedColour)
	}
	return p.finish()
}

func bars(p *picture, x, step, most float64, counts []int, colour string) float64 {
	for _, n := range counts {
		h := panelHeight * float64(n) / most
		fmt.Fprintf(p, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x+1, top+panelHeight-h, max(step-1, 0.5), h, colour)
		x += step
	}
	return x
}

// phase is one of the first app.
func (r *report) phase(name string) measured {
	for _, m := range r.Apps[0].Phases {
		if m.Name == name {
			return m
		}
	}
	return measured{}
}
