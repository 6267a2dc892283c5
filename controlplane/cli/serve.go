package cli

import (
	"cmp"
	"context"
	"runtime"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/heap"
)

const keys = `Keys are paths in FILE, for example admin.address. Environment variables set them too: ` + controlplane.EnvPrefix + `ADMIN_ADDRESS.
A later source wins: defaults, FILE, variables, --set.`

// configured completes a command that takes a configuration file: it adds --set, loads FILE, and calls do.
func (a *app) configured(c *cobra.Command, do func(context.Context, *controlplane.Config, controlplane.Source) error) *cobra.Command {
	var overrides []string
	c.Use += " [--set KEY=VALUE]... FILE"
	c.DisableFlagsInUseLine = true
	c.Long = cmp.Or(c.Long, c.Short+".") + "\n\n" + keys
	c.Flags().StringArrayVar(&overrides, "set", nil, "set a key of the configuration, as `KEY=VALUE`; repeatable")
	c.Args = oneFile
	c.ValidArgsFunction = cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, entry := range overrides {
			if key, _, found := strings.Cut(entry, "="); key == "" || !found {
				return usagef("%s: --set: must be KEY=VALUE, got %q", called(c), entry)
			}
		}
		source := controlplane.Source{File: args[0], Load: func() (*controlplane.Config, error) {
			return controlplane.LoadConfig(args[0], a.environ, overrides)
		}}
		cfg, err := source.Load()
		if err != nil {
			return err
		}
		return do(c.Context(), cfg, source)
	}
	return c
}

// oneFile wants a file's name, because variables and --set cannot define a function.
func oneFile(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usagef("%s: no configuration file given: %s", called(c), c.UseLine())
	case len(args) > 1:
		return usagef("%s: must be one configuration file, got %q", called(c), args)
	case args[0] == "":
		return usagef("%s: the name of the configuration file is empty: is a variable not set?", called(c))
	}
	return nil
}

func (a *app) runCommand() *cobra.Command {
	return a.configured(&cobra.Command{
		Use: "run", GroupID: serving, Short: "Run the control plane until SIGTERM, with the relay in it unless relay.apart is set",
	}, a.runServer)
}

func (a *app) relayCommand() *cobra.Command {
	return a.configured(&cobra.Command{
		Use: "relay", GroupID: serving, Short: "Run the relay beside Envoy, as a process that outlives control planes",
		Long: `Run the relay beside Envoy, as a process of its own that outlives control planes. FILE is the same as for run, with relay.apart: true.`,
	}, a.runRelay)
}

// noFunctions is a warning and no error, because a deployment may begin without functions.
const noFunctions = "no functions: every request gets 404"

// spaciousHeap is how far a serving process lets its heap grow between two collections.
const spaciousHeap = 32 << 20

// spacious makes garbage collections rarer, unless the operator has a rule.
func (a *app) spacious() {
	if valueOf(a.environ, "GOGC") == "" {
		heap.AtLeast(spaciousHeap)
	}
}

// besideEnvoy leaves half of the cores to the Envoy on this host, unless the operator has a rule. Envoy has a thread for each core, and needs
// at least as much CPU. Go would wake threads on idle cores to share work that one of them does as soon, and more cheaply.
func (a *app) besideEnvoy() {
	if valueOf(a.environ, "GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS()
		runtime.GOMAXPROCS((runtime.GOMAXPROCS(0) + 1) / 2)
	}
}

func (a *app) runServer(ctx context.Context, cfg *controlplane.Config, source controlplane.Source) error {
	a.spacious()
	if !cfg.Cell.Split() {
		a.besideEnvoy()
	}
	log, signals := a.logger(cfg), newHangups()
	for _, finding := range cfg.Findings() {
		log.Warn(finding)
	}
	server, err := controlplane.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	server.Follow(withLevel(source, log))
	defer signals.each(server.Reload)()
	if len(cfg.Functions) == 0 {
		log.Warn(noFunctions)
	}
	return server.Run(ctx)
}

// runRelay runs the relay alone. It uses only its own part of the configuration, but all of it must be valid.
func (a *app) runRelay(ctx context.Context, cfg *controlplane.Config, source controlplane.Source) error {
	a.besideEnvoy()
	log, signals := a.logger(cfg), newHangups()
	server, err := controlplane.NewRelay(ctx, cfg, log)
	if err != nil {
		return err
	}
	server.Follow(withLevel(source, log))
	defer signals.each(server.Reload)()
	return server.Run(ctx)
}

// withLevel makes the log follow log.level when the configuration changes.
func withLevel(source controlplane.Source, log *logrus.Logger) controlplane.Source {
	source.Taken = func(cfg *controlplane.Config) { setLevel(log, cfg) }
	return source
}

func setLevel(log *logrus.Logger, cfg *controlplane.Config) {
	if level, err := logrus.ParseLevel(cfg.Log.Level); err == nil { // validated before
		log.SetLevel(level)
	}
}

// logger makes the log of a process that serves, and warns in it about environment variables that look wrong. It writes colours only to a
// terminal, and not if NO_COLOR is set (no-color.org).
func (a *app) logger(cfg *controlplane.Config) *logrus.Logger {
	outliveReaders()
	log := logrus.New()
	log.SetFormatter(&logrus.TextFormatter{DisableColors: valueOf(a.environ, "NO_COLOR") != ""})
	log.SetOutput(a.stderr)
	setLevel(log, cfg)
	if cfg.Log.Format == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	for _, warning := range controlplane.EnvironmentWarnings(a.environ) {
		log.Warn(warning)
	}
	return log
}
