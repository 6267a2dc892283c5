package bill

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// PlainKeepAlive is how long the model lets Lambda keep an idle environment. Lambda promises nothing; minutes are usual.
const PlainKeepAlive = 5 * time.Minute

// plain is a model of Lambda with one request per environment. Each request is billed from its lease to its release. It
// runs in the environment that was used last and is idle; so there are as many environments as the most requests at once
// within the keep-alive time, and a request beyond that is a cold start.
type plain struct {
	running  level // requests
	requests uint64
	duration total // of all that have ended, each in whole milliseconds
	cold     uint64
	peak     scaler.Window // of the requests at once
}

func newPlain() plain { return plain{peak: scaler.NewWindow(PlainKeepAlive)} }

func (p *plain) began(now time.Time) {
	p.running.begin(now)
	if p.running.n > p.peak.Peak(now) {
		p.cold++
	}
	p.peak.Observe(now, p.running.n)
}

func (p *plain) ended(now, began time.Time) {
	p.running.end(now, began)
	p.peak.Observe(now, p.running.n)
	p.requests++
	p.duration.add(wholeMillis(now.Sub(began)), 1)
}

func (p *plain) withdrawn(now, began time.Time) {
	p.running.end(now, began)
	p.peak.Observe(now, p.running.n)
}

// Plain is what plain Lambda would have done for the same requests, those under way included.
type Plain struct {
	Requests   uint64
	Duration   Seconds // billed for requests
	ColdStarts uint64
	Init       Seconds // billed for cold starts, each as long as those measured on average
	GBSeconds  float64
	Dollars    float64
}

func (p *plain) statement(now time.Time, a *Account) Plain {
	out := Plain{
		Requests:   p.requests + uint64(p.running.n),
		Duration:   p.duration.sum() + p.running.ages(now).sum(),
		ColdStarts: p.cold,
		Init:       Seconds(p.cold) * a.init.mean(a.inits),
	}
	out.GBSeconds = (out.Duration + out.Init) * gb(a.MemoryMB())
	out.Dollars = a.rates.of(out.Requests, out.GBSeconds)
	return out
}

// less is what was counted after a note.
func (p Plain) less(n Note, a *Account) Plain {
	p.Requests -= n.Requests
	p.Duration -= n.Duration
	p.ColdStarts -= n.ColdStarts
	p.Init = Seconds(p.ColdStarts) * a.init.mean(a.inits)
	p.GBSeconds = (p.Duration + p.Init) * gb(a.MemoryMB())
	p.Dollars = a.rates.of(p.Requests, p.GBSeconds)
	return p
}
