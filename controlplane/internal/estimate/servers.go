package estimate

import (
	"fmt"
	"math"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
)

// A task is a size of Fargate's.
type task struct{ vcpu, gb float64 }

// tasksWith returns the sizes with at least that much memory, smallest first, by AWS's "Task CPU and memory".
func tasksWith(gb float64) []task {
	var out []task
	for _, size := range []struct{ vcpu, least, most, step float64 }{
		{0.25, 0.5, 2, 0.5}, {0.5, 1, 4, 1}, {1, 2, 8, 1}, {2, 4, 16, 1}, {4, 8, 30, 1},
	} {
		for have := size.least; have <= size.most; have += size.step {
			if have >= gb {
				out = append(out, task{size.vcpu, have})
			}
		}
	}
	return out
}

// How servers are sized.
const (
	fargateBusy   = 0.6 // of a task's processors, the target of its scaling
	managedBusy   = 0.5 // of an instance's: AWS keeps headroom for twice the load
	slotHeadroom  = 0.8 // of the requests that a server can hold at once
	fewestTasks   = 2   // one in each zone
	fewestManaged = 3   // Lambda's default
)

// A server is one of a fleet.
type server struct {
	vcpu, slots, busy float64
	fewest            int
}

// servers returns how many servers are needed in the mean if their number follows the profile.
func (a account) servers(of server, follow []float64) float64 {
	sum := 0.0
	for _, rate := range follow {
		cpu := rate * a.vcpuSeconds() / (of.vcpu * of.busy)
		slots := rate * a.Latency.Seconds() / (of.slots * slotHeadroom)
		sum += max(float64(of.fewest), math.Ceil(max(cpu, slots)))
	}
	return sum / float64(len(follow))
}

// fargate bills the app alone in the cheapest tasks that hold it. Their number follows the load: they come five minutes before they are
// needed and go fifteen minutes after.
func (a account) fargate() Bill {
	b := Bill{Way: "Fargate alone"}
	follow := a.Traffic.Profile.follow(5*time.Minute, 15*time.Minute)
	best, n, least := task{}, 0.0, math.Inf(1)
	for _, t := range tasksWith(a.gb()) {
		needed := a.servers(server{t.vcpu, float64(a.Concurrency) * t.gb / a.gb(), fargateBusy, fewestTasks}, follow)
		if cost := needed * a.taskHour(t); cost < least {
			best, n, least = t, needed, cost
		}
	}
	a.tasks(&b, Compute, n, best, "the app")
	a.alb(&b, albUnit)
	a.taskAddresses(&b, n)
	a.nat(&b)
	a.out(&b, 0)
	return b
}

// managed bills Lambda Managed Instances: at least three, of the cheapest family.
func (a account) managed() Bill {
	b := Bill{Way: "Lambda Managed Instances, ALB", Unfit: a.unfit(ALB)}
	follow := a.Traffic.Profile.follow(5*time.Minute, 15*time.Minute)
	family, n, least := "", 0.0, math.Inf(1)
	for _, f := range []struct {
		price string
		gb    float64
	}{{price.EC2Compute, 4}, {price.EC2General, 8}, {price.EC2Memory, 16}} {
		environments := min(2, math.Floor(f.gb/max(2, a.gb()))) // of a vCPU and 2 GB at least
		if environments < 1 {
			continue
		}
		slots := environments * float64(a.Concurrency) * max(2, a.gb()) / a.gb()
		needed := a.servers(server{2, min(slots, 2*managedSlots), managedBusy, fewestManaged}, follow)
		if cost := needed * a.prices.Of(f.price+a.architecture()); cost < least {
			family, n, least = f.price, needed, cost
		}
	}
	if family == "" {
		return Bill{Way: b.Way, Unfit: "no instance of two vCPUs has so much memory"}
	}
	family += a.architecture()
	hours := n * Hours * a.prices.Of(family)
	b.add(Compute, hours*(1-a.Discounts.EC2), fmt.Sprintf("%s instances of 2 vCPUs (%s)", count(n), a.prices.Describe(family)), family)
	b.add(Compute, hours*a.prices.Of(price.ManagedFee), "management fee", price.ManagedFee)
	b.add(Compute, a.requests()*a.prices.Of(price.ManagedRequests)/1e6, fmt.Sprintf("%s requests", many(a.requests())), price.ManagedRequests)
	a.alb(&b, albUnitLambda)
	a.nat(&b)
	a.out(&b, 0)
	return b
}

// doubling is the time within which the load of Managed Instances may double.
const doubling = 5 * time.Minute

// managedSlots is how many requests Managed Instances serve at once on a vCPU, at most.
const managedSlots = 64
