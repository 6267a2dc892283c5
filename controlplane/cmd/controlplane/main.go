// Command controlplane runs Lambda Dispatch's control plane and relay, checks a configuration, makes keys, or simulates.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
)

const usage = `controlplane makes AWS Lambda functions serve Envoy's requests like a pool of warm servers.

Usage:
  controlplane run   [--set KEY=VALUE]... FILE   run with the configuration in FILE until SIGTERM
  controlplane relay [--set KEY=VALUE]... FILE   run the relay beside Envoy, as a process of its own that outlives control planes;
                                                 FILE is the one of run, with relay.apart: true
  controlplane check [--set KEY=VALUE]... FILE   report all that is wrong with FILE; with an envoy %[1]s at
                                                 hand, also what Envoy says to the result
  controlplane simulate [FLAG]...                replay workloads through the scheduler beside a model of Lambda, and
                                                 compare policies; without --trace and --workload: the suite of docs/scaling.md
  controlplane key new FILE                      make a key that signs invocations, for signing.key_file, and print its
                                                 public half for the functions' LAMBDA_DISPATCH_PEER_PUBLIC_KEY
  controlplane key public FILE                   print the public half of the key in FILE
  controlplane version                           print the version; also --version

Flags of simulate:
  --trace FILE        a CSV with the columns below; repeatable
  --workload NAME     a workload of the suite; repeatable
  --traces DIR        recorded traces that the suite replays as well, *.csv, default ../shared/traces
  --part NAME         of the suite: policies, steps, ideas or concurrency; default all
  --policy NAME,...   some of those below; default all
  --seeds N           runs of each pair, default 20, from --first-seed N on, default 1
  --concurrency N     requests that one instance serves at once, default 10
  --preference P      cost, balanced (default) or latency
  --preset NAME       start times: image (default), zip, jvm
  --plots DIR         write an SVG for each workload and policy, first seed
  --json FILE         write all numbers

  What it assumes, each a flag of its own. D is a time such as 14s, SHARE is from 0 to 1:
  --memory MB         of an instance, default 1769;  --gb-second, --fee DOLLARS: prices, default those of us-east-1
  --init D            median of the init, instead of the preset's
  --life D-D          no environment is used again at an age between these, 45m-60m say
  --slow SHARE        of the environments are slow;  --slow-times N: requests take so many times longer there
  --crashes D         mean time between crashes of an instance
  --init-fails SHARE  of the inits;  --dial-fails SHARE: of the starts never come up
  --cpu SHARE         of a request's time it computes;  --cores N: of an instance, default 1
  --learn yes         concurrency is learned, --concurrency is the most
  --leave SHARE       of the clients leave after --patience D, waiting or served;  --works-on yes: the app works on then
  --retries N         of a client that was refused or cut off, default 0
  --linger D          how long an instance is kept after its last answer, as scaling.linger, default 0s
  --max N             instances, default 100, or twice what the workload fills at its peak if that is more
  --queue-limit N     requests that may wait, default all;  --queue-timeout D: default 30s
  --envoy-outage D+D  when it begins and how long it is, 60s+20s say;  --control-outage D+D: the same of the control plane
  --environments-lost D  when all environments are lost

Columns of a trace, named in its first line, one request per line; # begins a comment:
  when it arrives, one of these:
    at                seconds since any moment: 12.5
    at_ms             milliseconds since any moment: 12500
    TIMESTAMP         date and time: 2023-11-16 18:17:03.9799600
  how long it is served, optional; without it one second:
    service_ms        milliseconds: 250
    GeneratedTokens   or generated_tokens: a language model's, 20 ms each, and 150 ms
    ContextTokens     or context_tokens: with the former, 0.05 ms more each

Policies:
%[3]s
Keys are paths in the configuration, admin.address say. Each can also be set by a variable: %[2]sADMIN_ADDRESS.
A later source wins: defaults, FILE, variables, --set.

The first SIGTERM or Ctrl-C lets requests in flight finish, a second one ends the program at once. The exit status is 2 after a
mistake in the command line, and 1 after any other failure.
`

func main() {
	if err := run(untilSignal(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

// A usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is 2 for a mistake in the command line, which no second try mends, and 1 for everything else.
func exitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// run is the whole program but for signals and the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		printUsage(stderr)
		return usagef("no command given: run, relay, check, simulate, key or version")
	}
	err := command(ctx, args[0], args[1:], environ, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		printUsage(stdout)
		return nil
	}
	return err
}

func command(ctx context.Context, name string, args, environ []string, stdout, stderr io.Writer) error {
	switch name {
	case "run":
		return runServer(ctx, args, environ, stderr)
	case "relay":
		return runRelay(ctx, args, environ, stderr)
	case "check":
		return check(ctx, args, environ, stdout)
	case "simulate":
		return runSimulate(ctx, args, stdout, stderr)
	case "key":
		return key(args, stdout)
	case "version", "-version", "--version":
		fmt.Fprintln(stdout, controlplane.Version())
		return nil
	case "help", "-h", "--help":
		return flag.ErrHelp
	default:
		return usagef("unknown command %q: run, relay, check, simulate, key or version", name)
	}
}
