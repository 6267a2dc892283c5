package program

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

const usage = `lambdalocal is AWS Lambda on one machine.

Usage:
  lambdalocal run --config FILE
  lambdalocal run --function NAME='COMMAND ARGUMENT...' [--function ...]
  lambdalocal version

A command is split at blanks, and no shell reads it: quotes and variables mean nothing. For more, use a file. The
first SIGTERM or Ctrl-C shuts environments down as Lambda does, a second one kills them.

`

// run is the program. It returns when ctx ends and everything it started has ended, and prints the bill. When force ends,
// what still runs is killed.
func run(ctx, force context.Context, args, environ []string, release string, stdout, stderr io.Writer) error {
	if len(args) > 0 && slices.Contains([]string{"version", "-version", "--version"}, args[0]) {
		if len(args) > 1 {
			return usagef("unexpected argument %q", args[1])
		}
		_, err := fmt.Fprintln(stdout, "lambdalocal", version(release))
		return err
	}
	if len(args) > 0 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		args = []string{"run", "--help"}
	}
	if len(args) == 0 || args[0] != "run" {
		_, _ = io.WriteString(stderr, usage)
		return usagef("the only command is run")
	}
	cfg, log, err := parse(args[1:], environ, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	server, err := lambdalocal.New(cfg, log)
	if err != nil {
		return err
	}
	defer context.AfterFunc(force, func() { killAll(server) })()
	err = server.Run(ctx)
	return errors.Join(err, server.Ledger().Print(stdout))
}

// parse reads the flags, which win over the file. Help that was asked for goes to stdout.
func parse(args, environ []string, stdout, stderr io.Writer) (lambdalocal.Config, logrus.FieldLogger, error) {
	cfg := lambdalocal.Default()
	flags := flag.NewFlagSet("lambdalocal run", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed once, by whoever gets it
	file := flags.String("config", "", "read the configuration from this YAML `file`")
	address := flags.String("address", cfg.Address, "serve the Invoke API on this `host:port`")
	direct := flags.String("direct", cfg.Direct.Address, "serve functions by URL, one request per environment, on this `host:port`")
	level := flags.String("log-level", "info", "error, warn, info, or debug, which shows the functions' output")
	format := flags.String("log-format", "text", "text or json, one object a line")
	var functions []lambdalocal.Function
	flags.Func("function", "add a function, `NAME=COMMAND`, the command split at blanks (repeatable)", func(text string) error {
		f, err := parseFunction(text)
		functions = append(functions, f)
		return err
	})
	if err := flags.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			return cfg, nil, usagef("%w; see lambdalocal run --help", err)
		}
		text := bytes.NewBufferString(usage)
		flags.SetOutput(text)
		flags.PrintDefaults()
		if _, failed := text.WriteTo(stdout); failed != nil {
			err = failed
		}
		return cfg, nil, err
	}
	if flags.NArg() > 0 {
		return cfg, nil, usagef("unexpected argument %q", flags.Arg(0))
	}
	nameless := false
	flags.Visit(func(f *flag.Flag) { nameless = nameless || f.Name == "config" && *file == "" })
	if nameless {
		return cfg, nil, usagef("--config: the name of the file is empty: is a variable not set?")
	}
	if *file == "" && len(functions) == 0 {
		return cfg, nil, usagef("no functions: --config FILE or --function NAME=COMMAND names them")
	}
	if *file != "" {
		var err error
		if cfg, err = lambdalocal.Load(*file); err != nil {
			return cfg, nil, err
		}
	}
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "address":
			cfg.Address = *address
		case "direct":
			cfg.Direct.Address = *direct
		}
	})
	cfg.Functions = append(cfg.Functions, functions...)
	log, err := newLogger(*level, *format, environ, stderr)
	return cfg, log, err
}

func parseFunction(text string) (lambdalocal.Function, error) {
	name, command, ok := strings.Cut(text, "=")
	if !ok {
		return lambdalocal.Function{}, fmt.Errorf("must be NAME=COMMAND, got %q", text)
	}
	f := lambdalocal.DefaultFunction(name)
	f.Command = strings.Fields(command)
	return f, nil
}

// newLogger writes colours to a terminal only, and not there if NO_COLOR is set (no-color.org).
func newLogger(level, format string, environ []string, to io.Writer) (logrus.FieldLogger, error) {
	parsed, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, usagef("--log-level: %w", err)
	}
	log := logrus.New()
	log.SetOutput(to)
	log.SetFormatter(&logrus.TextFormatter{DisableColors: slices.ContainsFunc(environ, func(entry string) bool {
		return strings.HasPrefix(entry, "NO_COLOR=") && entry != "NO_COLOR="
	})})
	switch log.SetLevel(parsed); format {
	case "text":
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	default:
		return nil, usagef("--log-format: must be text or json, got %q", format)
	}
	return log, nil
}
