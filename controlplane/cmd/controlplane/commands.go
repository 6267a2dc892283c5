package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

func printUsage(w io.Writer) {
	fmt.Fprintf(w, usage, envoy.Version, controlplane.EnvPrefix, policies())
}

// load reads the configuration that a command's arguments name.
func load(command string, args, environ []string) (*controlplane.Config, error) {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is in the error
	flags.Usage = func() {}
	var overrides []string
	flags.Func("set", "KEY=VALUE", func(s string) error {
		overrides = append(overrides, s)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	switch flags.NArg() {
	case 0: // variables and --set cannot define a function
		return nil, fmt.Errorf("%[1]s: no configuration file given: controlplane %[1]s [--set KEY=VALUE]... FILE", command)
	case 1:
	default:
		return nil, fmt.Errorf("%s: one configuration file, after the flags: got %q", command, flags.Args())
	}
	return controlplane.LoadConfig(flags.Arg(0), environ, overrides)
}

// noFunctions is a warning: a deployment may begin without any, and everything else works.
const noFunctions = "no functions: every request gets 404"

func runServer(ctx context.Context, args, environ []string, stderr io.Writer) error {
	cfg, err := load("run", args, environ)
	if err != nil {
		return err
	}
	log := logger(cfg, stderr)
	server, err := controlplane.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	if len(cfg.Functions) == 0 {
		log.Warn(noFunctions)
	}
	return server.Run(ctx)
}

func logger(cfg *controlplane.Config, stderr io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(stderr)
	if level, err := logrus.ParseLevel(cfg.Log.Level); err == nil { // validated before
		log.SetLevel(level)
	}
	if cfg.Log.Format == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	return log
}

// check validates the file by our rules, and then what we would send to Envoy by Envoy's own.
func check(ctx context.Context, args, environ []string, stdout io.Writer) error {
	cfg, err := load("check", args, environ)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "the configuration is valid")
	if len(cfg.Functions) == 0 {
		fmt.Fprintln(stdout, "warning:", noFunctions)
	}
	binary, err := envoy.Find(ctx)
	if errors.Is(err, envoy.ErrNotFound) {
		fmt.Fprintln(stdout, "not checked by Envoy:", err)
		return nil
	}
	if err != nil {
		return err
	}
	static, err := controlplane.EnvoyConfig(cfg)
	if err != nil {
		return err
	}
	if err := envoy.Validate(ctx, binary, static); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Envoy", envoy.Version, "accepts what it would be sent")
	return nil
}
