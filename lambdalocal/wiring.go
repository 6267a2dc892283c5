package lambdalocal

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/account"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/cgroup"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/ledger"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/process"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/sandbox"
)

// wiring is what all functions have in common.
type wiring struct {
	cfg     Config
	account *account.Account
	ledger  *ledger.Ledger
	ports   *environment.Ports
	log     logrus.FieldLogger
	// enclosing is nil if environments share the machine.
	enclosing func(Function) func(*environment.Config, string) (environment.Enclosure, error)
	groups    *cgroup.Host
}

func (w wiring) function(f Function) function.Config {
	architecture := ledger.Architecture(f.Architecture)
	cfg := function.Config{
		Config:       w.environment(f),
		Architecture: architecture,
		Events:       function.Events(f.Events),
		ScalingRate:  w.cfg.ScalingRate,
		Managed:      w.managed(f),
		StreamURL:    f.InvokeMode == ResponseStream,
		ColdStart:    f.ColdStartDelay.pick,
		IdleExpiry:   f.IdleExpiry.pick,
		Ports:        w.ports,
		Share:        w.account.Join(f.ReservedConcurrency),
		Book:         w.ledger.Open(f.Name, architecture, f.MemoryMB),
		Modified:     time.Now(),
	}
	for _, v := range f.Versions {
		cfg.Versions = append(cfg.Versions, function.Version{Config: v.over(cfg.Config), Provisioned: v.ProvisionedConcurrency})
	}
	for _, a := range f.Aliases {
		cfg.Aliases = append(cfg.Aliases, function.Alias{Name: a.Name, Version: a.Version, Weights: a.Weights})
	}
	return cfg
}

func (w wiring) environment(f Function) environment.Config {
	cfg := environment.Config{
		Function: f.Name, Version: function.Latest, Region: w.cfg.Region, Account: w.cfg.AccountID, Handler: f.Handler,
		Command: f.Command, Extensions: w.extensions(f), Processes: f.Processes, Dir: f.Dir, Env: f.Env,
		MemoryMB: f.MemoryMB, TempMB: f.EphemeralMB, EnforceMemory: w.enforcesMemory(f), Confine: w.confiner(f),
		Timeout: f.Timeout, InitLimit: f.InitTimeout, Log: w.log, Limits: process.Limits(f.Limits),
	}
	if f.Managed != nil {
		cfg.Concurrency = cmp.Or(f.Managed.MaxConcurrency, f.Managed.mostConcurrency(f.MemoryMB))
	}
	if w.enclosing != nil {
		cfg.Enclose = w.enclosing(f)
	}
	return cfg
}

// extensions are those of the function, then those in its layers.
func (w wiring) extensions(f Function) []environment.Extension {
	var out []environment.Extension
	for _, x := range f.Extensions {
		out = append(out, environment.Extension{Name: x.Name, Argv: x.Command})
	}
	layered := layerExtensions(f.Layers)
	for _, name := range slices.Sorted(maps.Keys(layered)) {
		path := layered[name]
		if w.enclosing != nil {
			path = filepath.Join(sandbox.Layers, "extensions", name)
		}
		out = append(out, environment.Extension{Name: name, Argv: []string{path}})
	}
	return out
}

// layerExtensions are the programs in the layers' folders of extensions, by name: of two that have the same the later layer's.
func layerExtensions(layers []string) map[string]string {
	found := map[string]string{}
	for _, layer := range layers {
		paths, _ := filepath.Glob(filepath.Join(layer, "extensions", "*")) // layers are paths of folders
		for _, path := range paths {
			if about, err := os.Stat(path); err == nil && about.Mode().IsRegular() && about.Mode()&0o111 != 0 {
				found[filepath.Base(path)] = path
			}
		}
	}
	return found
}

// over applies the version to the function's latest.
func (v Version) over(latest environment.Config) environment.Config {
	cfg := latest
	cfg.Version = v.Name
	if len(v.Command) > 0 {
		cfg.Command = v.Command
	}
	cfg.Env = map[string]string{}
	maps.Copy(cfg.Env, latest.Env)
	maps.Copy(cfg.Env, v.Env)
	return cfg
}
