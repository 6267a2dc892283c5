package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/recording"
)

const aboutEstimate = `Estimate the whole monthly bill of a service behind Lambda Dispatch: Lambda, Envoy and control plane, balancer, bytes, addresses
and logs. Beside it stands what the service would cost on plain Lambda, on Fargate alone and on Lambda Managed Instances. It needs no
network: the release has a file of prices, each with its source (--print-prices), and --prices names another.

The traffic is one of
  --rate, --peak, --period    a rate with one peak in a period
  --alb-log                   access logs of an Application Load Balancer; arrivals are replayed
  --cloudwatch                exports of CloudWatch, JSON of the AWS CLI or CSV: RequestCount or Invocations (Sum), and if there is one
                              TargetResponseTime or Duration (Average), ProcessedBytes (Sum)

FILEs are further files of the same kind, gzipped or not: --alb-log logs/*.gz. A flag overrides what a recording says.
BYTES may end in KB or MB; TIME is for example 200ms; SHARE is from 0 to 1.`

// estimateFlags is what the command line of estimate says.
type estimateFlags struct {
	service estimate.Service
	given   func(flag string) bool

	rate, peak   float64
	period       time.Duration
	albLogs      []string
	cloudWatch   []string
	files        []string // more of the same
	architecture string
	region       string
	prices       string
	printPrices  bool
	json         bool
}

func (a *app) estimateCommand() *cobra.Command {
	q := &estimateFlags{service: estimate.Default()}
	c := &cobra.Command{
		Use: "estimate [FLAG]... [FILE]...", GroupID: planning, Short: "Estimate a month's bill, beside those of plain Lambda, Fargate and others",
		Long: aboutEstimate, DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, files []string) error {
			q.given, q.files = c.Flags().Changed, files
			if err := a.estimate(q); err != nil {
				return fmt.Errorf("estimate: %w", err)
			}
			return nil
		},
	}
	q.define(c.Flags())
	return complete(c, map[string][]string{
		"architecture": config.Architectures(), "region": price.Default().Regions, "layout": {estimate.Small, estimate.Split},
		"balancer": {estimate.ALB, estimate.NLB, estimate.NoBalancer}, "network": {estimate.NetworkVPC, estimate.NetworkNAT, estimate.NetworkPublic},
	})
}

func (q *estimateFlags) define(flags *pflag.FlagSet) {
	flags.SortFlags = false
	s := &q.service
	flags.Float64Var(&q.rate, "rate", 0, "mean `NUMBER` of requests a second")
	flags.Float64Var(&q.peak, "peak", 3, "the highest rate, as a `NUMBER` of times the mean")
	flags.DurationVar(&q.period, "period", 24*time.Hour, "`TIME` from peak to peak")
	flags.StringArrayVar(&q.albLogs, "alb-log", nil, "read access logs from `FILE`; repeatable")
	flags.StringArrayVar(&q.cloudWatch, "cloudwatch", nil, "read exports from `FILE`; repeatable")
	flags.DurationVar(&s.Latency, "latency", s.Latency, "mean `TIME` that a request takes when it is alone on an instance")
	flags.Float64Var(&s.CPU, "cpu", s.CPU, "`SHARE` of the latency that a request computes; it waits for the rest")
	flags.IntVar(&s.MemoryMB, "memory", s.MemoryMB, "`MB` of memory of the function")
	flags.DurationVar(&s.Init, "init", s.Init, "`TIME` that the init of a cold start takes")
	flags.IntVar(&s.Concurrency, "concurrency", s.Concurrency, "`NUMBER` of requests that an environment can hold at once")
	flags.StringVar(&q.architecture, "architecture", config.ArchitectureX86, "`NAME` of the architecture: x86_64 or arm64")
	q.defineBytes(flags)
	q.defineSurroundings(flags)
}

func (q *estimateFlags) defineBytes(flags *pflag.FlagSet) {
	s := &q.service
	for _, b := range []struct {
		to          *float64
		name, usage string
	}{
		{&s.RequestBytes, "request-bytes", "`BYTES` of a request"},
		{&s.ResponseBytes, "response-bytes", "`BYTES` of an answer"},
		{&s.OutboundBytes, "outbound-bytes", "`BYTES` that the app sends through a NAT gateway for a request; with --network nat"},
		{&s.LogBytes, "log-bytes", "`BYTES` that the app logs for a request"},
		{&s.AccessLog, "access-log-bytes", "`BYTES` that Envoy logs for a request"},
	} {
		flags.Var((*bytesFlag)(b.to), b.name, b.usage)
	}
	flags.Float64Var(&s.PerConnection, "requests-per-connection", s.PerConnection, "`NUMBER` of requests that a client sends on one connection")
}

func (q *estimateFlags) defineSurroundings(flags *pflag.FlagSet) {
	s := &q.service
	flags.StringVar(&s.Layout, "layout", s.Layout, "`NAME` of Lambda Dispatch's layout: split (Envoy and relay apart from a leader and a standby) or small (one task)")
	flags.StringVar(&s.Balancer, "balancer", s.Balancer, "`NAME` of the balancer before Envoy: alb, nlb or none")
	flags.StringVar(&s.Network, "network", s.Network, "`NAME` of where the function is: vpc, nat (a VPC with NAT gateways) or public (outside)")
	flags.Float64Var(&s.Discounts.Lambda, "discount-lambda", 0, "`SHARE` that your commitments take off Lambda's duration")
	flags.Float64Var(&s.Discounts.Fargate, "discount-fargate", 0, "`SHARE` that your commitments take off Fargate")
	flags.Float64Var(&s.Discounts.EC2, "discount-ec2", 0, "`SHARE` that your commitments take off EC2 instances")
	flags.BoolVar(&s.FreeTier, "free-tier", false, "subtract Lambda's free tier, which all functions of an account share")
	flags.StringVar(&q.region, "region", "us-east-1", "`NAME` of the region whose prices count")
	flags.StringVar(&q.prices, "prices", "", "read prices from `FILE`")
	flags.BoolVar(&q.printPrices, "print-prices", false, "print the prices of this release with their sources, and exit")
	flags.BoolVar(&q.json, "json", false, "print JSON")
}

func (a *app) estimate(q *estimateFlags) error {
	if q.printPrices {
		_, err := a.stdout.Write(price.BuiltIn())
		return err
	}
	notes, err := q.fill()
	if err != nil {
		return err
	}
	set, err := q.set()
	if err != nil {
		return err
	}
	result, err := estimate.Estimate(q.service, set)
	if err != nil {
		return usageError{err}
	}
	result.Warnings = slices.Concat(notes, q.assumed(), result.Warnings)
	if q.json {
		return result.JSON(a.stdout)
	}
	return result.Table(a.stdout)
}

// fill adds the traffic to the service. The notes are about a recording.
func (q *estimateFlags) fill() (notes []string, err error) {
	if !slices.Contains(config.Architectures(), q.architecture) {
		return nil, usagef("--architecture: must be one of %s, got %q", strings.Join(config.Architectures(), ", "), q.architecture)
	}
	q.service.ARM = q.architecture == config.ArchitectureARM
	kinds := 0
	for _, flag := range []string{"rate", "alb-log", "cloudwatch"} {
		if q.given(flag) {
			kinds++
		}
	}
	if kinds != 1 {
		return nil, usagef("exactly one of --rate, --alb-log and --cloudwatch must say what the traffic is")
	}
	if !q.given("rate") {
		return q.recorded()
	}
	if len(q.files) > 0 {
		return nil, usagef("unexpected argument %q", q.files[0])
	}
	q.service.Traffic.Profile, err = estimate.Wave(q.rate, q.peak, q.period)
	if err != nil {
		return nil, usageError{err}
	}
	return nil, nil
}

// A recorder reads files and says what they hold together.
type recorder interface {
	Read(name string, r io.Reader) error
	Recording() (recording.Recording, error)
}

func (q *estimateFlags) recorded() (notes []string, err error) {
	var from recorder = &recording.ALB{}
	files := q.albLogs
	if q.given("cloudwatch") {
		from, files = &recording.CloudWatch{}, q.cloudWatch
	}
	for _, flag := range []string{"peak", "period"} {
		if q.given(flag) {
			return nil, usagef("--%s: has no effect, because the traffic is a recording", flag)
		}
	}
	for _, name := range append(files, q.files...) {
		if err := readFile(from, name); err != nil {
			return nil, err
		}
	}
	r, err := from.Recording()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files[0], err)
	}
	return r.Notes, q.take(r)
}

func readFile(to recorder, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(to.Read(name, f), f.Close())
}

// take fills in what a recording says and no flag does.
func (q *estimateFlags) take(r recording.Recording) error {
	s := &q.service
	s.Traffic = r.Traffic
	if r.Latency > 0 && !q.given("latency") {
		s.Latency = max(time.Millisecond, r.Latency)
	}
	if r.RequestBytes >= 0 && !q.given("request-bytes") {
		s.RequestBytes = r.RequestBytes
	}
	if r.ResponseBytes >= 0 && !q.given("response-bytes") {
		s.ResponseBytes = r.ResponseBytes
	}
	if r.Latency == 0 && !q.given("latency") {
		return usagef("--latency: must be given, because the export has no TargetResponseTime or Duration above 0")
	}
	return nil
}

// set reads the prices of the region.
func (q *estimateFlags) set() (price.Set, error) {
	list := price.Default()
	if q.prices != "" {
		f, err := os.Open(q.prices)
		if err != nil {
			return price.Set{}, err
		}
		defer f.Close()
		if list, err = price.Read(f); err != nil {
			return price.Set{}, fmt.Errorf("%s: %w", q.prices, err)
		}
	}
	set, err := list.For(q.region)
	if err != nil {
		return set, usageError{err}
	}
	return set, nil
}

// assumedTraffic is what of a rate and a latency was not given. An access log or an export has them.
func (q *estimateFlags) assumedTraffic() []string {
	var out []string
	if q.given("rate") && !q.given("peak") {
		out = append(out, fmt.Sprintf("--peak was not given: the highest rate is taken to be %v times the mean.", q.peak))
	}
	if q.given("rate") && !q.given("period") {
		out = append(out, fmt.Sprintf("--period was not given: from peak to peak %.0fh. It decides whether servers can follow: bursts that come quickly are where Lambda Dispatch pays.", q.period.Hours()))
	}
	if q.given("rate") && !q.given("latency") {
		out = append(out, fmt.Sprintf("--latency was not given: %s a request.", q.service.Latency))
	}
	return out
}

// assumed has a warning for each number that decides the result and was not given.
func (q *estimateFlags) assumed() []string {
	var out []string
	s := q.service
	for _, f := range []struct{ flag, says string }{
		{"cpu", fmt.Sprintf("--cpu was not given: requests are taken to compute for %.0f %% of their time. It decides how many share an environment: measure it (cpu_total_time in Lambda Insights over the duration).", 100*s.CPU)},
		{"memory", fmt.Sprintf("--memory was not given: %d MB.", s.MemoryMB)},
		{"init", fmt.Sprintf("--init was not given: %s.", s.Init)},
		{"concurrency", fmt.Sprintf("--concurrency was not given: an environment is taken to hold %d requests at once.", s.Concurrency)},
	} {
		if !q.given(f.flag) {
			out = append(out, f.says)
		}
	}
	return slices.Concat(q.assumedTraffic(), out)
}
