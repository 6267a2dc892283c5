package config

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
)

// Default returns the configuration of an empty file. Only this function, DefaultFunction and DefaultListener hold
// defaults. The result is valid.
func Default() Config {
	front := DefaultListener()
	front.Name, front.Address = "front", "127.0.0.1:8080"
	return Config{
		StateDir:  "/run/lambda-dispatch",
		Listeners: []Listener{front},
		Admin:     Admin{Address: "127.0.0.1:9900"},
		Shutdown:  Shutdown{Grace: 15 * time.Second},
		Relay: Relay{
			Address:        "127.0.0.1:7443",
			TLS:            RelayTLSAuto,
			TunnelWait:     time.Second,
			MaxConnections: 15_000,
		},
		Cell:  Cell{TrustDomain: identity.Domain},
		Lease: Lease{Store: LeaseFile, Item: "lambda-dispatch"},
		// Of us-east-1, the first tier. Most regions have the same.
		Pricing: Pricing{PerMillionRequests: 0.20, GBSecondX86: 0.0000166667, GBSecondARM: 0.0000133334},
		Log:     Log{Level: "info", Format: "text"},
		Tracing: Tracing{Sampling: 0.01},
		EMF:     EMF{Namespace: "LambdaDispatch"},
	}
}

// DefaultListener returns what every element of listeners starts from. It is not valid: a listener needs a name and an
// address.
func DefaultListener() Listener {
	return Listener{MaxRequestHeaders: 60}
}

// DefaultFunction returns what every element of functions starts from. It is not valid: a function needs a name and a
// route.
func DefaultFunction() Function {
	return Function{
		Provider: ProviderLambda,
		Lambda:   Lambda{Timeout: 15 * time.Minute, Architecture: ArchitectureX86},
		Queue:    Queue{Limit: 1000, Timeout: 30 * time.Second},
		Timeouts: Timeouts{FirstByte: time.Minute, Idle: 5 * time.Minute, HalfClosed: 10 * time.Second},
		Scaling: Scaling{
			Concurrency:      10,
			Max:              100,
			StartsInProgress: 100,
			StartsPerSecond:  50,
			StartsBurst:      100,
			StartTimeout:     time.Minute,
			Preference:       PreferBalanced,
			DrainTimeout:     30 * time.Second,
		},
		Rollout: Rollout{Watch: 10 * time.Second, Hold: 3 * time.Second, MaxErrors: 0.2},
	}
}
