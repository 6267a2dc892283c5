package operator

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A RolloutPlan is what an operator wants of one rollout. Fields that are nil are as configured.
type RolloutPlan struct {
	Steps     []float64 `json:"steps"`
	Hold      *string   `json:"hold"` // a duration
	MaxErrors *float64  `json:"max_errors"`
	MaxSlower *float64  `json:"max_slower"`
}

// Over applies the plan to what is configured. It is valid.
func (p RolloutPlan) Over(c config.Rollout) config.Rollout {
	if p.Steps != nil {
		c.Steps = p.Steps
	}
	if p.Hold != nil {
		c.Hold, _ = time.ParseDuration(*p.Hold)
	}
	if p.MaxErrors != nil {
		c.MaxErrors = *p.MaxErrors
	}
	if p.MaxSlower != nil {
		c.MaxSlower = *p.MaxSlower
	}
	return c
}
