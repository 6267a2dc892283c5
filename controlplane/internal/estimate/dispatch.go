package estimate

import (
	"fmt"
	"math"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
)

// What our own parts need, as make bench measured it (bench/results), rounded up.
const (
	edgeCPU     = 260e-6           // seconds of Envoy and relay for a request
	planeCPU    = 40e-6            // of the control plane
	bytesCPU    = 1e-3 / (1 << 20) // of Envoy, relay and TLS for a byte
	frontBusy   = 0.5              // of a task's processors at the peak
	reserve     = 1.1              // environments made for those that are needed: preference balanced keeps a tenth more
	leaseReads  = 2                // a second, by the standby
	leaseWrites = 1                // a second, by the leader
)

// frontTasks returns the sizes of our own tasks, smallest first.
func frontTasks() []task {
	return []task{{0.25, 0.5}, {0.5, 1}, {1, 2}, {2, 4}, {4, 8}, {8, 16}, {16, 32}}
}

// dispatch bills the function behind Lambda Dispatch.
func (a account) dispatch(served Served) Bill {
	b := Bill{Way: Ours}
	b.ColdStarts = coldStarts(a.Traffic.Profile, a.Latency, a.Slots()) * reserve
	invocations := a.requests() * served.Invocations
	a.lambda(&b, invocations, a.requests()*served.Seconds, b.ColdStarts)
	a.front(&b)
	switch a.Balancer {
	case ALB:
		a.alb(&b, albUnit)
	case NLB:
		a.nlb(&b)
	}
	a.toFunctions(&b)
	a.nat(&b)
	a.out(&b, served.Invocations*invocationLines+a.AccessLog)
	return b
}

// front adds the tasks of Envoy, relay and control plane.
func (a account) front(b *Bill) {
	peak := a.Traffic.Profile.Peak()
	edges, planes := peak*(edgeCPU+bytesCPU*a.body()), peak*planeCPU
	if a.Layout == Small {
		t, n := smallest(edges+planes, 1, 1)
		a.tasks(b, Front, n, t, "Envoy, relay and control plane")
		a.taskAddresses(b, n)
		return
	}
	t, n := smallest(edges, 1, 1)
	a.tasks(b, Front, n, t, "Envoy and relay")
	// One leads, the other one stands by.
	plane, _ := smallest(planes, 1, 0)
	a.tasks(b, Front, 2, plane, "control plane")
	a.taskAddresses(b, n+2)
	seconds := Hours * 3600.0 / 1e6
	b.add(Front, seconds*(leaseWrites*a.prices.Of(price.DynamoWrites)+leaseReads*a.prices.Of(price.DynamoReads)),
		"lease in DynamoDB", price.DynamoWrites, price.DynamoReads)
}

// smallest returns the smallest size of which n tasks are enough for so many vCPUs, and n. Sizes before the one of that index are left
// out. If none is enough it returns the largest size, and how many of these are.
func smallest(vcpus float64, n, from int) (task, float64) {
	sizes := frontTasks()
	for _, t := range sizes[from:] {
		if t.vcpu*frontBusy*float64(n) >= vcpus {
			return t, float64(n)
		}
	}
	largest := sizes[len(sizes)-1]
	return largest, math.Ceil(vcpus / (largest.vcpu * frontBusy))
}

// toFunctions adds the bytes between Envoy and the function. AWS charges each byte twice: to the sender and to the receiver.
func (a account) toFunctions(b *Bill) {
	gb := a.requests() * a.body() / gigabyte
	if a.Network == NetworkPublic {
		b.add(Network, 2*gb*a.prices.Of(price.BetweenZones), fmt.Sprintf("between tasks and functions, by public addresses, %s", size(gb)), price.BetweenZones)
		return
	}
	crossing := gb * (zones - 1) / zones
	b.add(Network, 2*crossing*a.prices.Of(price.BetweenZones), fmt.Sprintf("between zones, %s", size(crossing)), price.BetweenZones)
}
