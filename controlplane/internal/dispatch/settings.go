package dispatch

import (
	"context"
	"errors"
	"reflect"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// settings are what the configuration says about a function. They are immutable: a change replaces them. An instance keeps those
// that it was started with, because its peer knows no others.
type settings struct {
	config   config.Function
	pricing  config.Pricing
	plan     plan
	provider provider.Provider // nil: peers register by themselves
	token    func() string     // the token that peers register with now; nil: none can register
	leaving  bool              // not configured any more; the function is forgotten when its last instance and request have ended
	closed   admission.Cause   // why all requests are refused; empty: they are not
}

// settingsFor is what a configuration says about one of its functions.
func (d *Dispatcher) settingsFor(cfg config.Function, c Configuration) *settings {
	s := &settings{
		config: cfg, pricing: c.Pricing, plan: planFor(cfg, c.Pricing), provider: c.Providers[cfg.Name], token: c.Tokens[cfg.Name],
	}
	s.plan.settings.Scaling.Total, s.plan.settings.Scaling.Account = d.budget, c.Accounts[cfg.Name]
	if cfg.Disabled {
		s.closed = admission.Disabled
	}
	if d.caretaker {
		s.provider, s.plan.settings = nil, s.plan.settings.Caretaker()
	}
	return s
}

// same tells whether two settings are equal for an instance. Providers and tokens are not compared.
func (s *settings) same(other *settings) bool {
	return s.leaving == other.leaving && s.pricing == other.pricing && (s.provider == nil) == (other.provider == nil) &&
		reflect.DeepEqual(s.config, other.config)
}

// left are the settings of a function that the configuration does not have any more. A caretaker still serves it as long as there
// are instances.
func (d *Dispatcher) left(s *settings) *settings {
	next := *s
	next.leaving, next.token = true, nil
	next.plan.settings.Scaling.Min, next.plan.settings.Scaling.StartsInProgress = 0, 0
	if !d.caretaker {
		next.closed = admission.UnknownFunction
	}
	return &next
}

// watched tells whether we read regularly what the function's qualifier points to.
func (s *settings) watched() bool {
	return s.provider != nil && s.closed == "" && s.config.Rollout.Watch > 0
}

// unknown is the provider of a function that is not configured but has instances in Lambda. It starts nothing.
type unknown struct{}

// Invoke implements provider.Provider.
func (unknown) Invoke(context.Context, string, wire.Invocation) provider.End {
	return provider.End{Cause: scaler.Unknown, Detail: "no such function is configured", NeverRan: true}
}

// Routing implements provider.Provider.
func (unknown) Routing(context.Context) (provider.Routing, error) {
	return provider.Routing{}, errors.New("no such function is configured")
}
