// Command load sends closed-loop load to one URL. It prints JSON: the rate, the latency, errors by status, and the CPU time that one
// request cost each process named by -pid.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/command"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load"
	"github.com/lambda-dispatch/lambda-dispatch/bench/load/procstat"
)

func main() { command.Main("load", run) }

// report is what the command prints.
type report struct {
	URL       string             `json:"url"`
	Machine   procstat.Machine   `json:"machine"`
	Result    load.Result        `json:"result"`
	Processes map[string]process `json:"processes"`
}

type process struct {
	procstat.Usage
	CPUPerRequest time.Duration `json:"cpu_per_request_ns"` // while the load ran
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, pids, err := parse(args, stderr)
	if err != nil {
		return err
	}
	machine, err := procstat.ThisMachine()
	if err != nil {
		return fmt.Errorf("machine: %w", err)
	}
	before, err := usage(pids)
	if err != nil {
		return err
	}
	result, err := load.Run(ctx, opts)
	if err != nil {
		return err
	}
	after, err := usage(pids)
	if err != nil {
		return err
	}
	out := json.NewEncoder(stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(report{opts.URL, machine, result, costs(before, after, result.Requests)})
}

func usage(pids map[string]int) (map[string]procstat.Usage, error) {
	all := make(map[string]procstat.Usage, len(pids))
	for name, pid := range pids {
		u, err := procstat.Read(pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = u
	}
	return all, nil
}

func costs(before, after map[string]procstat.Usage, requests int64) map[string]process {
	all := make(map[string]process, len(after))
	for name, u := range after {
		spent := u.CPU - before[name].CPU
		all[name] = process{Usage: u, CPUPerRequest: spent / time.Duration(max(requests, 1))}
	}
	return all
}

func parse(args []string, stderr io.Writer) (load.Options, map[string]int, error) {
	opts := load.Options{Header: make(http.Header)}
	pids := map[string]int{"load": os.Getpid()}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: load [flags] http://host:port/path\n\n")
		flags.PrintDefaults()
	}
	flags.BoolVar(&opts.HTTP2, "http2", false, "speak HTTP/2 with prior knowledge instead of HTTP/1.1")
	flags.IntVar(&opts.Connections, "connections", 10, "connections to open")
	flags.IntVar(&opts.Streams, "streams", 1, "requests in flight per connection, with -http2")
	flags.Int64Var(&opts.Requests, "requests", 0, "stop after so many requests; 0: no bound")
	flags.DurationVar(&opts.Duration, "duration", 10*time.Second, "stop sending after so long; 0: no bound")
	flags.DurationVar(&opts.Timeout, "timeout", 10*time.Second, "a connection silent for so long has failed")
	flags.StringVar(&opts.Method, "method", http.MethodGet, "request method")
	flags.Func("header", "add a header, as \"Name: value\"; may be repeated", func(s string) error {
		name, value, found := strings.Cut(s, ":")
		if !found || name == "" {
			return errors.New(`want "Name: value"`)
		}
		opts.Header.Add(name, strings.TrimSpace(value))
		return nil
	})
	flags.Func("pid", "report a process, as name=pid; may be repeated", func(s string) error {
		name, value, _ := strings.Cut(s, "=")
		pid, err := strconv.Atoi(value)
		if name == "" || err != nil {
			return errors.New("want name=pid")
		}
		pids[name] = pid
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return load.Options{}, nil, err
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return load.Options{}, nil, fmt.Errorf("want one URL, got %d arguments", flags.NArg())
	}
	opts.URL = flags.Arg(0)
	return opts, pids, nil
}
