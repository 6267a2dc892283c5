package estimate

import (
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
)

// What enters plain Lambda.
const (
	URL     = "function URL"
	HTTPAPI = "HTTP API"
)

// Limits of what may stand before a function: AWS's documentation of each.
const (
	albBody     = 1 << 20
	apiBody     = 10 << 20
	urlBody     = 6 << 20
	apiPatience = 30 * time.Second
	apiMeter    = 512 << 10
)

// invocationLines is what Lambda logs of an invocation: START, END and REPORT, with what CloudWatch adds to each.
const invocationLines = 430

// Lambda's free tier.
const (
	freeRequests  = 1e6
	freeGBSeconds = 400_000
)

// plain bills plain Lambda, one request per environment, behind one of ALB, URL and HTTPAPI.
func (a account) plain(entry string) Bill {
	b := Bill{Way: "plain Lambda, " + name(entry), Unfit: a.unfit(entry), plain: true}
	b.ColdStarts = coldStarts(a.Traffic.Profile, a.Latency, 1)
	served := a.requests() * (a.Latency.Seconds() + 0.0005) // each in whole milliseconds, rounded up
	a.lambda(&b, a.requests(), served, b.ColdStarts)
	switch entry {
	case ALB:
		a.alb(&b, albUnitLambda)
	case HTTPAPI:
		meters := float64(1 + int(a.body()/apiMeter))
		b.add(Entry, a.requests()*meters*a.prices.Of(price.HTTPAPI)/1e6, "HTTP API", price.HTTPAPI)
	case URL:
		a.streamed(&b)
	}
	a.nat(&b)
	a.out(&b, invocationLines)
	return b
}

func name(entry string) string {
	if entry == ALB {
		return "ALB"
	}
	return entry
}

// lambda adds invocations that take so many seconds, and the inits of cold starts.
func (a account) lambda(b *Bill, invocations, seconds, colds float64) {
	second, fee := price.LambdaSeconds+a.architecture(), price.LambdaRequests
	gbSeconds, inits := seconds*a.gb(), colds*a.Init.Seconds()*a.gb()
	if a.FreeTier {
		invocations, gbSeconds = max(0, invocations-freeRequests), max(0, gbSeconds-freeGBSeconds)
	}
	rate := a.prices.Of(second) * (1 - a.Discounts.Lambda)
	b.add(Compute, gbSeconds*rate, fmt.Sprintf("Lambda, %s GB-s", many(gbSeconds)), second)
	b.add(Compute, invocations*a.prices.Of(fee)/1e6, fmt.Sprintf("Lambda, %s invocations", many(invocations)), fee)
	b.add(Compute, inits*rate, fmt.Sprintf("Lambda, %s inits of %s", many(colds), a.Init), second)
}

// streamed adds the price of the bytes of streamed answers that are not free.
func (a account) streamed(b *Bill) {
	if over := a.ResponseBytes - urlBody; over > 0 {
		gb := a.requests() * over / gigabyte
		b.add(Network, gb*a.prices.Of(price.LambdaStreamed), fmt.Sprintf("streamed beyond 6 MB, %s", size(gb)), price.LambdaStreamed)
	}
}

// unfit says why an entry cannot serve the service's requests.
func (a account) unfit(entry string) string {
	largest := max(a.RequestBytes, a.ResponseBytes)
	switch {
	case entry == ALB && largest > albBody:
		return "an ALB passes at most 1 MB to and from a function"
	case entry == HTTPAPI && largest > apiBody:
		return "an HTTP API passes at most 10 MB"
	case entry == HTTPAPI && a.Latency > apiPatience:
		return "an HTTP API waits at most 30 s"
	case entry == URL && a.RequestBytes > urlBody:
		return "a function takes at most 6 MB"
	}
	return ""
}
