package estimate

import (
	"fmt"
	"math"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
)

const (
	gigabyte = 1 << 30
	zones    = 2 // in which a service runs; half of the bytes between two of its parts cross
)

// An account adds lines to bills.
type account struct {
	Service
	prices price.Set
}

func (a account) requests() float64 { return a.Traffic.Profile.Mean() * month }

// body returns the bytes of a request and its answer.
func (s Service) body() float64 { return s.RequestBytes + s.ResponseBytes }

// out adds what each way pays: answers to the Internet, and logs. lines is what the platform logs for a request beside the app, in bytes.
func (a account) out(b *Bill, lines float64) {
	a.answers(b)
	logs := a.requests() * (a.LogBytes + lines) / gigabyte
	b.add(Logging, logs*a.prices.Of(price.Logs), fmt.Sprintf("logs, %s", size(logs)), price.Logs)
}

func (a account) answers(b *Bill) {
	out := a.requests() * a.ResponseBytes / gigabyte
	b.add(Network, out*a.prices.Of(price.Internet), fmt.Sprintf("to the Internet, %s", size(out)), price.Internet)
}

// A unit says what one capacity unit of a balancer serves. AWS bills the dimension of which most units are used.
type unit struct {
	connections, active float64 // new ones a second; open ones
	bytes               float64 // an hour
}

var (
	albUnit       = unit{25, 3000, gigabyte}
	albUnitLambda = unit{25, 3000, 0.4 * gigabyte} // before a function
	nlbUnit       = unit{800, 100_000, gigabyte}
)

// connectionLife is how long a client's connection stays open, at least: an ALB's idle timeout.
const connectionLife = 60

// units returns how many units are used in the mean.
func (a account) units(u unit) float64 {
	sum := 0.0
	for _, rate := range a.Traffic.Profile.Rates {
		opened := rate / a.PerConnection
		open := opened * max(connectionLife, a.Latency.Seconds()*a.PerConnection)
		sum += max(opened/u.connections, open/u.active, rate*a.body()*3600/u.bytes)
	}
	return sum / float64(len(a.Traffic.Profile.Rates))
}

// alb adds an ALB before tasks or a function.
func (a account) alb(b *Bill, u unit) {
	a.balancer(b, "ALB", u, price.ALBHour, price.ALBUnit)
}

func (a account) nlb(b *Bill) { a.balancer(b, "NLB", nlbUnit, price.NLBHour, price.NLBUnit) }

func (a account) balancer(b *Bill, name string, u unit, hour, perUnit string) {
	units := a.units(u)
	b.add(Entry, Hours*a.prices.Of(hour), name, hour)
	b.add(Entry, Hours*units*a.prices.Of(perUnit), fmt.Sprintf("%s, %.2f capacity units", name, units), perUnit)
	a.addresses(b, zones, "of the "+name)
}

// addresses adds public IPv4 addresses.
func (a account) addresses(b *Bill, n float64, of string) {
	b.add(Network, n*Hours*a.prices.Of(price.IPv4Hour), fmt.Sprintf("%s public addresses %s", count(n), of), price.IPv4Hour)
}

// tasks adds Fargate tasks of a size, so many in the mean.
func (a account) tasks(b *Bill, kind Kind, n float64, t task, what string) {
	b.add(kind, n*a.taskHour(t)*Hours, fmt.Sprintf("%s: %s tasks of %v vCPU, %v GB", what, count(n), t.vcpu, t.gb),
		price.FargateVCPU+a.architecture(), price.FargateGB+a.architecture())
}

func (a account) taskHour(t task) float64 {
	vcpu, gb := a.prices.Of(price.FargateVCPU+a.architecture()), a.prices.Of(price.FargateGB+a.architecture())
	return (t.vcpu*vcpu + t.gb*gb) * (1 - a.Discounts.Fargate)
}

// nat adds the way out of the VPC, which the app needs wherever it runs in it.
func (a account) nat(b *Bill) {
	if a.Network != NetworkNAT {
		return
	}
	b.add(Network, zones*Hours*a.prices.Of(price.NATHour), fmt.Sprintf("%d NAT gateways", zones), price.NATHour)
	out := a.requests() * a.OutboundBytes / gigabyte
	b.add(Network, out*a.prices.Of(price.NATGB), fmt.Sprintf("through NAT, %s", size(out)), price.NATGB)
	a.addresses(b, zones, "of the NAT gateways")
}

// taskAddresses adds those of tasks that reach AWS's APIs by a public address, because there is no NAT.
func (a account) taskAddresses(b *Bill, n float64) {
	if a.Network != NetworkNAT {
		a.addresses(b, n, "of the tasks")
	}
}

func size(gb float64) string {
	switch {
	case gb < 0.1:
		return fmt.Sprintf("%.1f MB", gb*1024)
	case gb < 1000:
		return fmt.Sprintf("%.1f GB", gb)
	default:
		return fmt.Sprintf("%.1f TB", gb/1024)
	}
}

// count writes a mean number of things.
func count(n float64) string {
	if n == math.Trunc(n) {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1f", n)
}

// many writes a large number in three digits.
func many(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.3g billion", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.3g million", n/1e6)
	case n >= 1000:
		digits := math.Pow(10, math.Floor(math.Log10(n))-2)
		return grouped(int64(math.Round(n/digits) * digits))
	default:
		return fmt.Sprintf("%.0f", n)
	}
}
