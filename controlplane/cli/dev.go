package cli

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dev"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
)

const aboutDev = `Run your own app behind everything on this machine: Envoy, the control plane, and a local Lambda whose environments run the
command, with lambdapeer beside it. It needs no account and no container engine.

The app listens on the port in PORT, or on the one that --port names. It runs in a copy of the folder, as in Lambda. When a
file changes, a new version takes over without a request that fails; one that does not start leaves the old one in service.
Not watched: names that begin with a dot, node_modules, __pycache__, virtual environments, *.log.

  lambda-dispatch dev -- node server.js
  lambda-dispatch dev --cold-start 8s --concurrency 1 -- python3 app.py      # how plain Lambda feels; then --concurrency 10`

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
	flags.IntVar(&o.Port, "port", 0, "`PORT` on which the app listens, default one that it is told in the variable PORT")
	flags.StringVar(&o.Front, "front", "", "`HOST:PORT` for clients, default 127.0.0.1:8080 or another that is free")
	flags.IntVar(&o.Concurrency, "concurrency", 10, "`N` requests that one instance serves at once")
	flags.DurationVar(&o.ColdStart, "cold-start", 0, "`TIME` that a new environment takes before the app is started, 8s say")
	flags.IntVar(&o.Min, "min", 1, "`N` instances that stay; with 0 the first request waits for a start")
	flags.IntVar(&o.Max, "max", 10, "`N` instances at most")
	flags.IntVar(&o.MemoryMB, "memory", 1024, "`MB` of an instance, for the bill")
	flags.StringVar(&o.Dir, "dir", ".", "`DIR` of the app, which is watched")
	flags.BoolVar(&noReload, "no-reload", false, "keep the version of the start")
	flags.BoolVar(&o.Verbose, "verbose", false, "print what control plane and local Lambda log")
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
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	first, second := local.Interrupts(signals)
	if err := dev.Run(first, second, o, a.stdout); err != nil {
		return fmt.Errorf("dev: %w", err)
	}
	return nil
}

// checkDev refuses values that mean nothing.
func checkDev(o dev.Options) error {
	switch {
	case o.Port < 0 || o.Port > 65535:
		return usagef("dev: --port: must be from 1 to 65535, got %d", o.Port)
	case o.Concurrency < 1:
		return usagef("dev: --concurrency: must be at least 1, got %d", o.Concurrency)
	case o.Min < 0 || o.Max < 1 || o.Min > o.Max:
		return usagef("dev: --min and --max: must be 0 or more, 1 or more, and in this order, got %d and %d", o.Min, o.Max)
	case o.ColdStart < 0 || o.ColdStart > time.Minute:
		return usagef("dev: --cold-start: must be from 0s to 1m, got %v", o.ColdStart)
	case o.MemoryMB < 128 || o.MemoryMB > 10240:
		return usagef("dev: --memory: must be from 128 to 10240, got %d", o.MemoryMB)
	}
	return nil
}

// absolute is the path of a folder that exists.
func absolute(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is no folder", dir)
	}
	return filepath.Abs(dir)
}
