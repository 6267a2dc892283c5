package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

func (a *app) checkCommand() *cobra.Command {
	return a.configured(&cobra.Command{
		Use: "check", GroupID: planning, Short: "Report all that is wrong with a configuration",
		Long: fmt.Sprintf(`Report all that is wrong with FILE. What each key says for itself comes first; then what they say together: instances against the
account's quota, connections against a database's limit, file descriptors, a relay that functions cannot dial. An error
there cannot work, and the exit status is 1; a warning may not work. With an envoy %s at hand, say also what Envoy says to the result.`, envoy.Version),
	}, a.check)
}

// check validates the file by our rules, and then what we would send to Envoy by Envoy's own.
func (a *app) check(ctx context.Context, cfg *controlplane.Config, _ controlplane.Source) error {
	warnings, err := cfg.CheckValidity(time.Now())
	if err != nil {
		return fmt.Errorf("certificates:\n%w", err)
	}
	cannot := a.printFindings(cfg, warnings)
	if err := a.checkLease(ctx, cfg); err != nil {
		return err
	}
	if err := a.checkByEnvoy(ctx, cfg); err != nil {
		return err
	}
	if cannot > 0 {
		return fmt.Errorf("%d of the above cannot work", cannot)
	}
	return nil
}

// printFindings prints what may not work and what cannot, and returns how much cannot.
func (a *app) printFindings(cfg *controlplane.Config, warnings []string) int {
	var cannot []string
	for _, finding := range cfg.Findings() {
		if finding.Error {
			cannot = append(cannot, "error: "+finding.String())
			continue
		}
		warnings = append(warnings, finding.String())
	}
	if len(cannot) == 0 {
		fmt.Fprintln(a.stdout, "the configuration is valid")
	} else {
		fmt.Fprintf(a.stdout, "each key is valid for itself, and not all of them together:\n%s\n", strings.Join(cannot, "\n"))
	}
	if len(cfg.Functions) == 0 {
		warnings = append(warnings, noFunctions)
	}
	for _, warning := range slices.Concat(controlplane.EnvironmentWarnings(a.environ), warnings) {
		fmt.Fprintln(a.stdout, "warning:", warning)
	}
	return len(cannot)
}

// checkLease asks the lease's store, where one is configured.
func (a *app) checkLease(ctx context.Context, cfg *controlplane.Config) error {
	said, err := controlplane.CheckLease(ctx, cfg)
	if err == nil && said != "" {
		fmt.Fprintln(a.stdout, said)
	}
	return err
}

// checkByEnvoy asks Envoy, where there is one.
func (a *app) checkByEnvoy(ctx context.Context, cfg *controlplane.Config) error {
	binary, err := envoy.Find(ctx)
	if errors.Is(err, envoy.ErrNotFound) {
		fmt.Fprintln(a.stdout, "not checked by Envoy:", err)
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
	version, err := envoy.VersionOf(ctx, binary)
	if err == nil {
		fmt.Fprintln(a.stdout, "Envoy", version, "accepts what it would be sent")
	}
	return err
}
