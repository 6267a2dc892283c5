package instance

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const (
	// wearEvery is how often the environment is looked at while it works, and wearIdle while nothing comes.
	wearEvery = 100 * time.Millisecond
	wearIdle  = time.Second
	// wornPatience is how long a worn environment waits for another one to take its place.
	wornPatience = time.Minute
)

// lookAtWear tells the control plane once that the environment is worn, so that another takes its place. It drains by its own
// decision when there is no time for that, or when nobody has seen to it.
func (i *instance) lookAtWear() {
	i.wearing.Reset(wearIdle)
	i.wearSoon = false
	if i.server.gate.InFlight() > 0 {
		i.wears()
	}
	word, urgent := i.look()
	if word == "" {
		return
	}
	detail := i.config.Wear.Detail()
	if i.worn == "" {
		i.worn, i.wornAt = word, time.Now()
		i.log.Warn("environment worn: it ends with this invocation", "why", detail)
		i.broadcast(wire.Message{Kind: wire.KindNotice, Notice: word}, nil)
	}
	if urgent || time.Since(i.wornAt) >= wornPatience {
		i.drain(wire.ReasonWorn, detail, nil)
	}
}

// wears has the environment looked at soon: requests come and go.
func (i *instance) wears() {
	if i.config.Wear != nil && !i.wearSoon {
		i.wearSoon = true
		i.wearing.Reset(wearEvery)
	}
}

func (i *instance) look() (wire.Notice, bool) {
	requests, _ := i.server.gate.Counts()
	limits := wear.Limits{Requests: i.config.Invocation.MaxRequests, Age: i.config.Invocation.MaxAge.Duration()}
	return i.config.Wear.Look(time.Now(), requests, limits)
}

// endsWorn says why the environment ends with the instance, which has had so many requests; empty: it does not.
func (i *instance) endsWorn(requests int64) wire.Notice {
	if i.config.Wear == nil {
		return ""
	}
	word, _ := i.look()
	i.config.Wear.Served(requests)
	if word == "" && i.reason == wire.ReasonFailing {
		return wire.NoticeWornErrors // what is broken here may work in a new environment
	}
	return word
}
