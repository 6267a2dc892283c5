// Package estimate says what a service costs a month behind Lambda Dispatch, and what it would cost on plain Lambda, on Fargate alone and on
// Lambda Managed Instances. It reads no clock and opens no file: the same service and prices give the same bills.
//
// What Lambda Dispatch bills in Lambda comes from the simulator, which runs the control plane's own pool and policy. Everything
// else is quantities times the prices of package price.
package estimate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
)

// Hours of a month, as AWS's own examples count it.
const Hours = 730

// month is in seconds.
const month = Hours * 3600.0

// A Service is what is estimated. Sizes are in bytes, of one request in the mean.
type Service struct {
	Traffic Traffic

	Latency     time.Duration // mean, of a request that is alone on an instance
	CPU         float64       // share of the latency in which a request computes, 0 to 1; it waits for the rest
	MemoryMB    int           // of the function
	Init        time.Duration // of a cold start
	Concurrency int           // requests that one environment of that memory can hold at once; 1 to 1000
	ARM         bool

	RequestBytes  float64
	ResponseBytes float64
	OutboundBytes float64 // that the app sends and gets through a NAT gateway; only with NetworkNAT
	LogBytes      float64 // that the app logs
	AccessLog     float64 // bytes that Envoy logs; 0: it logs no requests
	PerConnection float64 // requests on one connection of a client

	Layout    string
	Balancer  string
	Network   string
	Discounts Discounts
	FreeTier  bool // subtract Lambda's free tier, which all functions of an account share
}

// Discounts are the shares, 0 to 0.99, that commitments take off the prices on demand.
type Discounts struct {
	Lambda, Fargate, EC2 float64
}

// Values of Service.Layout.
const (
	Small = "small" // one task holds Envoy, relay and control plane
	Split = "split" // one with Envoy and relay, two control planes in two zones, a lease in DynamoDB
)

// Values of Service.Balancer: what stands before Envoy.
const (
	ALB        = "alb"
	NLB        = "nlb"
	NoBalancer = "none"
)

// Values of Service.Network: where the function is.
const (
	NetworkVPC    = "vpc"    // in the VPC of Envoy, without a way out of it
	NetworkNAT    = "nat"    // in it, with a NAT gateway in each zone
	NetworkPublic = "public" // outside of a VPC: it dials Envoy's task at a public address
)

// Default returns a service with an assumption for everything but its traffic.
func Default() Service {
	return Service{
		Latency: 200 * time.Millisecond, CPU: 0.25, MemoryMB: 1024, Init: time.Second, Concurrency: 10,
		RequestBytes: 1000, ResponseBytes: 10_000, LogBytes: 200, PerConnection: 10,
		Layout: Split, Balancer: ALB, Network: NetworkVPC,
	}
}

// Validate returns an error that names everything that is wrong with s, one a line, by the names of the command's flags.
func (s Service) Validate() error {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	between := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) { // not a number either
			add("%s: must be between %s and %s, got %v", name, plainly(low), plainly(high), v)
		}
	}
	if s.Latency < time.Millisecond || s.Latency > 15*time.Minute {
		add("--latency: must be between 1ms and 15m, got %s", s.Latency)
	}
	if s.Init < 0 || s.Init > 15*time.Minute {
		add("--init: must be between 0s and 15m, got %s", s.Init)
	}
	between("--cpu", s.CPU, 0, 1)
	between("--memory", float64(s.MemoryMB), 128, 10240)
	between("--concurrency", float64(s.Concurrency), 1, 1000)
	between("--request-bytes", s.RequestBytes, 0, 1e12)
	between("--response-bytes", s.ResponseBytes, 0, 1e12)
	between("--outbound-bytes", s.OutboundBytes, 0, 1e12)
	between("--log-bytes", s.LogBytes, 0, 1e9)
	between("--access-log-bytes", s.AccessLog, 0, 1e6)
	between("--requests-per-connection", s.PerConnection, 1, 1e6)
	between("--discount-lambda", s.Discounts.Lambda, 0, 0.99)
	between("--discount-fargate", s.Discounts.Fargate, 0, 0.99)
	between("--discount-ec2", s.Discounts.EC2, 0, 0.99)
	if s.OutboundBytes > 0 && s.Network != NetworkNAT {
		add("--outbound-bytes: has no effect, because --network is %s: only %s has NAT gateways", s.Network, NetworkNAT)
	}
	oneOf(add, "--layout", s.Layout, Small, Split)
	oneOf(add, "--balancer", s.Balancer, ALB, NLB, NoBalancer)
	oneOf(add, "--network", s.Network, NetworkVPC, NetworkNAT, NetworkPublic)
	if err := s.Traffic.Profile.validate(); err != nil {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

// plainly writes a number in full.
func plainly(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func oneOf(add func(string, ...any), name, got string, allowed ...string) {
	for _, value := range allowed {
		if got == value {
			return
		}
	}
	add("%s: must be one of %s, got %q", name, strings.Join(allowed, ", "), got)
}

// architecture returns the ending of the names of prices that depend on it.
func (s Service) architecture() string {
	if s.ARM {
		return price.ARM
	}
	return price.X86
}

// cores returns how many vCPUs an environment has.
func (s Service) cores() float64 { return float64(s.MemoryMB) / fullCore }

// fullCore is the memory, in MB, with which a function has one whole vCPU.
const fullCore = 1769

// gb returns the function's memory, in GB.
func (s Service) gb() float64 { return float64(s.MemoryMB) / 1024 }

// busy is the share of an instance's processors that requests may take, so that they hardly slow each other down.
const busy = 0.7

// Slots returns how many requests an instance serves at once: as many as its memory and its processors allow.
func (s Service) Slots() int {
	if s.CPU == 0 {
		return s.Concurrency
	}
	// A request that computes takes one core, or the part of a core that there is.
	return max(1, min(s.Concurrency, int(max(1, s.cores())*busy/s.CPU)))
}

// leastCPU is what a server spends on any request, however little the app does.
const leastCPU = 500 * time.Microsecond

// vcpuSeconds returns how long a request would keep a whole vCPU busy.
func (s Service) vcpuSeconds() float64 {
	return max(s.CPU*s.Latency.Seconds()*min(1, s.cores()), leastCPU.Seconds())
}
