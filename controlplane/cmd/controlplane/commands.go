package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
		return nil, usagef("%s: %w", command, err)
	}
	switch flags.NArg() {
	case 0: // variables and --set cannot define a function
		return nil, usagef("%[1]s: no configuration file given: controlplane %[1]s [--set KEY=VALUE]... FILE", command)
	case 1:
		if flags.Arg(0) == "" {
			return nil, usagef("%s: the name of the configuration file is empty: is a variable not set?", command)
		}
	default:
		return nil, usagef("%s: one configuration file, after the flags: got %q", command, flags.Args())
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
	log := logger(cfg, environ, stderr)
	defer logHangups(log)()
	for _, warning := range controlplane.EnvironmentWarnings(environ) {
		log.Warn(warning)
	}
	server, err := controlplane.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	if len(cfg.Functions) == 0 {
		log.Warn(noFunctions)
	}
	return server.Run(ctx)
}

// runRelay runs the relay alone. Of the configuration only its own part is asked for; the rest must be valid all the same.
func runRelay(ctx context.Context, args, environ []string, stderr io.Writer) error {
	cfg, err := load("relay", args, environ)
	if err != nil {
		return err
	}
	log := logger(cfg, environ, stderr)
	defer logHangups(log)()
	server, err := controlplane.NewRelay(ctx, cfg, log)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

// logger writes colours to a terminal only, and not there if NO_COLOR is set (no-color.org).
func logger(cfg *controlplane.Config, environ []string, stderr io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetFormatter(&logrus.TextFormatter{DisableColors: isSet(environ, "NO_COLOR")})
	log.SetOutput(stderr)
	if level, err := logrus.ParseLevel(cfg.Log.Level); err == nil { // validated before
		log.SetLevel(level)
	}
	if cfg.Log.Format == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	return log
}

// isSet tells whether the variable has a value other than the empty one.
func isSet(environ []string, name string) bool {
	return slices.ContainsFunc(environ, func(entry string) bool {
		value, found := strings.CutPrefix(entry, name+"=")
		return found && value != ""
	})
}

// check validates the file by our rules, and then what we would send to Envoy by Envoy's own.
func check(ctx context.Context, args, environ []string, stdout io.Writer) error {
	cfg, err := load("check", args, environ)
	if err != nil {
		return err
	}
	warnings, err := cfg.CheckValidity(time.Now())
	if err != nil {
		return fmt.Errorf("certificates:\n%w", err)
	}
	fmt.Fprintln(stdout, "the configuration is valid")
	for _, warning := range slices.Concat(controlplane.EnvironmentWarnings(environ), warnings, cfg.PriceWarnings()) {
		fmt.Fprintln(stdout, "warning:", warning)
	}
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
