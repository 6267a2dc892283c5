// Command chaos sends requests through everything, in processes of their own, while one part after the other is killed, cut
// off, flooded or replaced. The app writes down what it ran, so that each request can be told: answered, refused, cut, or
// run twice.
//
// It runs in the project's root, after make build envoy. docs/reliability.md explains what it reports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// settings are what a run does. The defaults take about seven minutes.
type settings struct {
	Requests int           `json:"requests"`
	Rate     float64       `json:"requests_per_second"`
	Every    time.Duration `json:"fault_every_ns"` // from the end of one fault to the next
	Seed     uint64        `json:"seed"`
	Workers  int           `json:"envoy_workers"`
	out      string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{Workers: 2}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.Requests, "requests", 100_000, "how many requests to send")
	flags.Float64Var(&s.Rate, "rate", 250, "requests a second, at random times")
	flags.DurationVar(&s.Every, "every", 5*time.Second, "quiet time between one fault and the next")
	flags.Uint64Var(&s.Seed, "seed", uint64(time.Now().Unix()), "of the order of faults and of the requests")
	flags.StringVar(&s.out, "out", "bench/results", "folder of the results")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.Requests < 1 || s.Rate <= 0 || s.Every <= 0 {
		return s, errors.New("requests, rate and every must be positive")
	}
	return s, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	l, err := lab.New(ctx, s.Workers)
	if err != nil {
		return err
	}
	defer l.Close()
	r, err := measure(ctx, l, s, stdout)
	if err != nil {
		return err
	}
	name := r.Name("chaos")
	page := r.markdown(name)
	if err := lab.Save(s.out, name, r, "chaos.md", page); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%s\nwritten to %s\n", page, filepath.Join(s.out, name))
	return r.verdict()
}

// measure runs the load and the faults beside it until the last request has ended.
func measure(ctx context.Context, l *lab.Lab, s settings, progress io.Writer) (*report, error) {
	stack, err := start(ctx, l)
	if err != nil {
		return nil, err
	}
	origin, err := lab.Here()
	if err != nil {
		return nil, err
	}
	r := &report{Origin: origin, Settings: s}
	striking, calm := context.WithCancel(ctx)
	struck := make(chan []strike, 1)
	go func() { struck <- stack.strikeAgain(striking, s, progress) }()
	requests := send(ctx, stack.url, s, progress)
	calm()
	strikes := <-struck
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	runs, err := readJournal(stack.journal)
	if err != nil {
		return nil, err
	}
	r.account(requests, strikes, runs)
	return r, origin.Finish()
}
