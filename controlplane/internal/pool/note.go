package pool

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// A Note is what a pool has learned, for one that takes over from it.
type Note struct {
	Fleet   scaler.FleetNote    `json:"fleet,omitzero"`
	Tail    scaler.TailNote     `json:"tail,omitzero"`
	Guards  scaler.GuardsNote   `json:"guards,omitzero"`
	Limiter *scaler.LimiterNote `json:"limiter,omitempty"` // where slots are learned
	Code    CodeNote            `json:"code,omitzero"`
}

// A CodeNote is what a pool knows of versions of the code. It does not hold a rollout under way: the next leader begins that anew,
// and finds which instances are already replaced.
type CodeNote struct {
	Route    Route    `json:"route,omitzero"`
	Rejected Route    `json:"rejected,omitzero"`
	Seen     []string `json:"seen,omitempty"`
}

func (p *Pool) learnCode(n CodeNote) {
	p.route, p.rejected = n.Route.valid(), n.Rejected.valid()
	for _, version := range n.Seen {
		p.see(version)
	}
}

// Note returns what the pool has learned.
func (p *Pool) Note(now time.Time) Note {
	return Note{Fleet: p.fleet.Note(now), Tail: p.tail.Note(now), Guards: p.guards.Note(now), Limiter: p.limiter.Note(now), Code: CodeNote{p.route, p.rejected, p.seen}}
}

// Latest is when something last happened.
func (p *Pool) Latest() time.Time { return p.now }

// Learn takes over a note that is ago old. It is called before the first Inherit.
func (p *Pool) Learn(now time.Time, n Note, ago time.Duration) {
	now = p.enter(now)
	p.fleet.Learn(now, n.Fleet, ago)
	p.tail.Learn(now, n.Tail, ago)
	p.guards.Learn(now, n.Guards, ago)
	p.limiter.Learn(now, n.Limiter, ago)
	p.learnCode(n.Code)
}
