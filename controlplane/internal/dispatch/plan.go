package dispatch

import (
	"cmp"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// A plan is a function's configuration in the terms of the pool and the peer.
type plan struct {
	settings    pool.Settings
	drainMargin time.Duration // the peer drains this long before its invocation's deadline
	drainLimit  time.Duration // the peer cuts off requests this long after a drain began
	tokenLife   time.Duration
	audience    string // who must obey the function's invocations, as signatures name it
	rates       bill.Rates
}

// clocksDiffer is how far the clock of a relay on another host may be ahead, which must not take a token for expired. The end of its
// instance ends a token sooner.
const clocksDiffer = time.Hour

func planFor(cfg config.Function, pricing config.Pricing) plan {
	p := plan{tokenLife: 365 * 24 * time.Hour, audience: signature.Static(cfg.Name)} // a registered peer's token ends with the instance
	if cfg.Provider == config.ProviderLambda {
		p.rates = pricing.Rates(cfg.Lambda.Architecture)
		p.audience = signature.Of(cmp.Or(cfg.Lambda.FunctionName, cfg.Name))
		p.tokenLife = cfg.Lambda.Timeout + cfg.Scaling.StartTimeout + clocksDiffer
	}
	s := cfg.Scaling
	p.settings = pool.Settings{
		Concurrency:  s.Slots(),
		Learn:        s.Concurrency == 0,
		QueueLimit:   cfg.Queue.Limit,
		QueueTimeout: cfg.Queue.Timeout,
		FirstByte:    cfg.Timeouts.FirstByte,
		StartTimeout: s.StartTimeout,
		Linger:       s.Linger,
		DrainTimeout: drainLimit(cfg),
		Margin:       margin(cfg),
		Rollout:      planOf(cfg.Rollout),
		Seed:         uint64(time.Now().UnixNano()),
		Scaling: scaler.Settings{
			Min: s.Min, Max: s.Max, Environments: s.MaxEnvironments,
			StartsInProgress: s.StartsInProgress, StartsPerSecond: s.StartsPerSecond, StartsBurst: s.StartsBurst,
			DollarsPerHour: s.DollarsPerHour, Price: p.price(cfg.Lambda.MemoryMB),
			Preference: scaler.Preference(s.Preference),
		},
	}
	if cfg.Provider == config.ProviderLambda {
		p.settings.Lifetime = cfg.Lambda.Timeout
		p.drainMargin = p.settings.Margin.Of(cfg.Lambda.Timeout)
		p.drainLimit = cfg.Lambda.Timeout // its deadline comes first
	}
	if cfg.Provider == config.ProviderStatic {
		// Nothing can be started, and nothing is surplus: up to Max peers come by themselves, and stay.
		p.settings.Scaling.Min, p.settings.Scaling.StartsInProgress = s.Max, 0
		p.drainLimit = p.settings.DrainTimeout
	}
	if cfg.Disabled {
		p.settings.Scaling.Min, p.settings.Scaling.StartsInProgress = 0, 0
	}
	return p
}

// price is what an instance with that much memory costs, in dollars.
func (p plan) price(memoryMB int) scaler.Price {
	return scaler.NewPrice(p.rates.PerHour(memoryMB), p.rates.Request)
}

// margin is the least time before the end of its invocation at which an instance gets its last lease, so that the request can end
// and the app can do its work after it. The pool learns whether requests take longer. With a total timeout none does.
func margin(cfg config.Function) pool.Margin {
	if total := cfg.Timeouts.Total; total > 0 {
		return pool.Margin{Request: total + cfg.Scaling.Linger, Bounded: true}
	}
	return pool.Margin{Request: max(cfg.Scaling.DrainTimeout, pool.DefaultRequest) + cfg.Scaling.Linger}
}

// drainLimit is how long an instance may drain if no invocation's deadline ends it, or if the control plane stops: the configured
// time or that of the longest allowed request, and then the app's work after it.
func drainLimit(cfg config.Function) time.Duration {
	return max(cfg.Scaling.DrainTimeout, cfg.Timeouts.Total+time.Second) + cfg.Scaling.Linger
}

// signedFor is how long a signature is valid beyond the start timeout, because a payload may be delivered late.
const signedFor = time.Minute

// invocation is the payload for the instance's peer. If it cannot be signed it is sent all the same: a peer that wants a signature
// refuses it, and says so.
func (f *function) invocation(i *instance) wire.Invocation {
	issued := now()
	signed, err := f.d.signing().Sign(f.unsigned(i), signature.Claims{
		Audience: i.by.plan.audience, Issued: issued, Expires: issued.Add(i.by.plan.settings.StartTimeout + signedFor),
	})
	if err != nil {
		f.log.WithError(err).Error("invocation not signed")
	}
	return signed
}

func (f *function) unsigned(i *instance) wire.Invocation {
	return wire.Invocation{
		Version:     wire.Version,
		Instance:    i.id,
		Function:    f.name,
		Relays:      f.d.relays(),
		Token:       f.d.key.Mint(f.name, i.id, i.core.Started().Add(i.by.plan.tokenLife)),
		Concurrency: i.by.config.Scaling.Slots(),
		DrainMargin: wire.Millis(i.by.plan.drainMargin),
		DialTimeout: wire.DefaultDialTimeout,
		DrainLimit:  wire.Millis(i.by.plan.drainLimit),
		Linger:      wire.Millis(i.by.plan.settings.Linger),
		HalfClosed:  wire.Millis(i.by.config.Timeouts.HalfClosed),
		MaxRequests: int64(i.by.config.Environment.MaxRequests),
		MaxAge:      wire.Millis(i.by.config.Environment.MaxAge),
		Features:    wire.ControlFeatures(),
	}
}
