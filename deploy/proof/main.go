// Command proof asks AWS what the rest of this repository assumes of it: `make aws-proof`. It deploys a stack of its own, runs the probes,
// writes a report, and takes the stack down again. With -dry it rehearses on this machine, against lambdalocal.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	dry           bool
	only          []string
	build, report string
	email, region string
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("proof", flag.ContinueOnError)
	f.BoolVar(&o.dry, "dry", false, "rehearse on this machine, against lambdalocal")
	only := f.String("only", "", "`IDS` of the probes to run, with commas between them; all by default")
	f.StringVar(&o.build, "build", "build/proof", "`FOLDER` with the programs")
	f.StringVar(&o.report, "report", "", "`FILE` for the report; standard output by default")
	f.StringVar(&o.email, "email", "", "`ADDRESS` that AWS Budgets writes to at $2.50 and $5")
	f.StringVar(&o.region, "region", "", "`REGION` of AWS; that of the environment or profile by default")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, id := range o.only {
		if !slices.ContainsFunc(probes, func(p probe) bool { return p.id == id }) {
			return o, fmt.Errorf("-only: there is no probe %q", id)
		}
	}
	if !o.dry && o.email == "" {
		return o, errors.New("-email: must be set, because this costs money, less than a dollar if all goes well; -dry rehearses for nothing")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	r := report{where: "lambdalocal", when: time.Now()}
	token := rand.Text()
	do := func(ctx context.Context, s *stage) error {
		r.answers = answers(ctx, s, o.only)
		return ctx.Err()
	}
	if o.dry {
		err = rehearse(ctx, o.build, token, func(*lambdalocal.Config) {}, do)
	} else {
		r.where, err = perform(ctx, o, token, do)
	}
	var text bytes.Buffer
	if len(r.answers) > 0 {
		err = errors.Join(err, r.write(&text))
	}
	if o.report != "" && text.Len() > 0 {
		err = errors.Join(err, os.WriteFile(o.report, text.Bytes(), 0o644))
	} else {
		_, _ = stdout.Write(text.Bytes())
	}
	if n := r.failed(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d probes have no answer", n))
	}
	return err
}

// answers runs the probes: the short ones in their order, then the long ones together.
func answers(ctx context.Context, s *stage, only []string) []answer {
	var all []answer
	for _, p := range probes {
		if len(only) == 0 || slices.Contains(only, p.id) {
			all = append(all, answer{probe: p})
		}
	}
	var wg sync.WaitGroup
	for i := range all {
		a := &all[i]
		if a.long {
			wg.Go(func() { a.run(ctx, s) })
			continue
		}
		a.run(ctx, s)
	}
	wg.Wait()
	return all
}

func (a *answer) run(ctx context.Context, s *stage) {
	a.saw, a.as, a.err = a.ask(ctx, s)
	fmt.Fprintf(os.Stderr, "%s: %s\n", a.id, strings.Trim(a.verdict(), "*"))
}
