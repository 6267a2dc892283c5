package cli

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dev"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
)

const aboutDev = `Run your own app behind everything on this machine: Envoy, the control plane, and a local Lambda whose environments run the
command, with lambdapeer beside it. It needs no account and no container engine.

The app listens on the port in PORT, which also stands in place of {port} in its arguments, or on the one that --port names. It
runs in a copy of the folder, as in Lambda. When a file changes, a new version takes over without a request that fails; one that
does not start leaves the old one in service. Not watched: names that begin with a dot, node_modules, __pycache__, virtual environments, *.log,
and a file to which the output is redirected.

  lambda-dispatch dev -- node server.js
  lambda-dispatch dev -- python3 -m http.server {port}
  lambda-dispatch dev --cold-start 8s --concurrency 1 -- python3 app.py      # one request at a time, as in Lambda; then --concurrency 10`

func (a *app) devCommand() *cobra.Command {
	var o dev.Options
	var noReload bool
	c := &cobra.Command{
		Use: "dev [FLAG]... -- COMMAND [ARGUMENT]...", GroupID: serving, DisableFlagsInUseLine: true,
		Short: "Run your own app behind everything on this machine, and reload it on change", Long: aboutDev,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return usagef("dev: no command given: %s", c.UseLine())
			}
			return nil
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.SetInterspersed(false) // what follows the command is its own
	flags.IntVar(&o.Port, "port", 0, "`PORT` on which the app listens; default: a free one, in the variable PORT and for {port}")
	flags.StringVar(&o.Front, "front", "", "`HOST:PORT` for clients; default: 127.0.0.1:8080, or a free port if that is taken")
	flags.IntVar(&o.Concurrency, "concurrency", 10, "`N` requests that one instance serves at once")
	flags.DurationVar(&o.ColdStart, "cold-start", 0, "extra `TIME` that a new environment takes before the app starts, for example 8s")
	flags.IntVar(&o.Min, "min", 1, "`N` instances that are always kept; with 0 the first request waits for a start")
	flags.IntVar(&o.Max, "max", 10, "`N` instances at most")
	flags.IntVar(&o.MemoryMB, "memory", 1024, "`MB` of an instance, for the bill")
	flags.StringVar(&o.Dir, "dir", ".", "`DIR` of the app, which is watched for changes")
	flags.BoolVar(&noReload, "no-reload", false, "do not watch for changes")
	flags.BoolVar(&o.Verbose, "verbose", false, "print the logs of the control plane and of the local Lambda")
	c.RunE = func(_ *cobra.Command, args []string) error {
		o.Command, o.Reload, o.Environ = args, !noReload, a.environ
		return a.dev(o)
	}
	return c
}

func (a *app) dev(o dev.Options) error {
	if err := checkDev(o); err != nil {
		return err
	}
	var err error
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	if o.Dir, err = absolute(o.Dir); err != nil {
		return fmt.Errorf("dev: --dir: %w", err)
	}
	o.Outputs = []*os.File{os.Stdout, os.Stderr}
	outliveReaders()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	first, second := local.Interrupts(signals)
	if err := dev.Run(first, second, o, a.stdout); err != nil {
		return fmt.Errorf("dev: %w", err)
	}
	return nil
}

// checkDev refuses values that make no sense.
func checkDev(o dev.Options) error {
	switch {
	case o.Front != "" && !config.IsAddress(o.Front):
		return usagef("dev: --front: must be host:port, got %q", o.Front)
	case o.Port < 0 || o.Port > 65535:
		return usagef("dev: --port: must be from 1 to 65535, got %d", o.Port)
	case o.Concurrency < 1 || o.Concurrency > config.MaxConcurrency:
		return usagef("dev: --concurrency: must be from 1 to %d, got %d", config.MaxConcurrency, o.Concurrency)
	case o.Min < 0 || o.Max < 1 || o.Max > config.MaxInstances || o.Min > o.Max:
		return usagef("dev: --max must be from 1 to %d, and --min from 0 to --max, got --min %d --max %d", config.MaxInstances, o.Min, o.Max)
	case o.ColdStart < 0 || o.ColdStart > time.Minute:
		return usagef("dev: --cold-start: must be from 0s to 1m, got %v", o.ColdStart)
	case o.MemoryMB < 128 || o.MemoryMB > 10240:
		return usagef("dev: --memory: must be from 128 to 10240, got %d", o.MemoryMB)
	}
	return nil
}

// absolute is the absolute path of a folder, which must exist.
func absolute(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a folder", dir)
	}
	return filepath.Abs(dir)
}
