package main

import (
	"context"
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load/procstat"
)

const (
	settle    = 5 * time.Second // in which memory that a burst has used is given back
	idleWatch = time.Minute     // how long the CPU of idle instances is watched
	heldFor   = "/idle?ms=1500" // all instances are busy at once, so that each gets one request
)

// idle is what idle instances cost the control plane with its relay, and Envoy.
type idle struct {
	Way       string `json:"way"`
	Instances int    `json:"instances"`
	// Resident memory per instance, in bytes: growth from an empty control plane with its Envoy.
	Control        perInstance   `json:"controlplane"`          // instances that were never asked
	Envoy          perInstance   `json:"envoy"`                 //
	ControlServed  perInstance   `json:"controlplane_served"`   // after each has served: Envoy keeps a connection to it
	EnvoyServed    perInstance   `json:"envoy_served"`          //
	ControlIdleCPU float64       `json:"controlplane_idle_cpu"` // share of one core, after serving
	ReadyIn        time.Duration `json:"ready_in_ns"`           // from the peers' start until all of them serve
}

type perInstance struct {
	RSS int64 `json:"rss_bytes"`
	PSS int64 `json:"pss_bytes"`
}

// measureIdle starts a control plane and an Envoy of their own, and many peers in one child.
func measureIdle(ctx context.Context, parent *lab.Lab, w way, count int) (idle, error) {
	l, err := parent.Sub("idle-" + w.String())
	if err != nil {
		return idle{}, err
	}
	defer l.Close()
	t, err := startThrough(ctx, l, w, map[string]int{"idle": 1}, "")
	if err != nil {
		return idle{}, err
	}
	out := idle{Way: w.String(), Instances: count}
	before, err := t.settled(ctx)
	if err != nil {
		return idle{}, err
	}
	began := time.Now()
	if err := t.startPeers(ctx, l, "idle", count); err != nil {
		return idle{}, err
	}
	out.ReadyIn = time.Since(began)
	unasked, err := t.settled(ctx)
	if err != nil {
		return idle{}, err
	}
	if err := t.askAll(ctx, count); err != nil {
		return idle{}, err
	}
	served, err := t.settled(ctx)
	if err != nil {
		return idle{}, err
	}
	grown := func(role string, now map[string]procstat.Usage) perInstance {
		u, v := before[role], now[role]
		return perInstance{RSS: (v.RSS - u.RSS) / int64(count), PSS: (v.PSS - u.PSS) / int64(count)}
	}
	out.Control, out.Envoy = grown(roleControl, unasked), grown(roleEnvoy, unasked)
	out.ControlServed, out.EnvoyServed = grown(roleControl, served), grown(roleEnvoy, served)
	out.ControlIdleCPU, err = t.idleCPU(ctx)
	return out, err
}

func (t *through) settled(ctx context.Context) (map[string]procstat.Usage, error) {
	if err := lab.Rest(ctx, settle); err != nil {
		return nil, err
	}
	return t.usage()
}

// askAll has every instance serve one request.
func (t *through) askAll(ctx context.Context, count int) error {
	result, err := load.Run(ctx, load.Options{URL: t.url(heldFor), Connections: count, Requests: int64(count), Timeout: lab.Patience})
	if err == nil && result.Errors() > 0 {
		err = fmt.Errorf("idle: %d of %d requests failed: %v %v", result.Errors(), count, result.Statuses, result.Failures)
	}
	return err
}

func (t *through) idleCPU(ctx context.Context) (share float64, err error) {
	before, err := t.usage()
	if err != nil {
		return 0, err
	}
	if err := lab.Rest(ctx, idleWatch); err != nil {
		return 0, err
	}
	after, err := t.usage()
	if err != nil {
		return 0, err
	}
	return (after[roleControl].CPU - before[roleControl].CPU).Seconds() / idleWatch.Seconds(), nil
}
