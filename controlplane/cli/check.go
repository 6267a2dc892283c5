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
		Use: "check", GroupID: planning, Short: "Report everything that is wrong with a configuration",
		Long: fmt.Sprintf(`Report everything that is wrong with FILE. Each key is checked by itself first. Then keys are checked together: instances against
the account's quota, connections against a database's limit, file descriptors, a relay that functions cannot dial. An error
cannot work, and the exit status is 1. A warning may not work. If Envoy %s is installed, it checks what it would be sent.`, envoy.Version),
	}, a.check)
}

// check validates the file by our own rules. Then Envoy validates what it would be sent.
func (a *app) check(ctx context.Context, cfg *controlplane.Config, _ controlplane.Source) error {
	warnings, err := cfg.CheckValidity(time.Now())
	if err != nil {
		return fmt.Errorf("certificates:\n%w", err)
	}
	wrong := a.printFindings(cfg, warnings)
	if err := a.checkLease(ctx, cfg); err != nil {
		return err
	}
	if err := a.checkByEnvoy(ctx, cfg); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d of the above cannot work", wrong)
	}
	return nil
}

// printFindings prints warnings and errors, and returns the number of errors.
func (a *app) printFindings(cfg *controlplane.Config, warnings []string) int {
	var wrong []string
	for _, finding := range cfg.Findings() {
		if finding.Error {
			wrong = append(wrong, "error: "+finding.String())
			continue
		}
		warnings = append(warnings, finding.String())
	}
	if len(wrong) == 0 {
		fmt.Fprintln(a.stdout, "the configuration is valid")
	} else {
		fmt.Fprintf(a.stdout, "each key is valid by itself, but some do not work together:\n%s\n", strings.Join(wrong, "\n"))
	}
	if len(cfg.Functions) == 0 {
		warnings = append(warnings, noFunctions)
	}
	for _, warning := range slices.Concat(controlplane.EnvironmentWarnings(a.environ), warnings) {
		fmt.Fprintln(a.stdout, "warning:", warning)
	}
	return len(wrong)
}

// checkLease asks the store of the lease, if one is configured.
func (a *app) checkLease(ctx context.Context, cfg *controlplane.Config) error {
	said, err := controlplane.CheckLease(ctx, cfg)
	if err == nil && said != "" {
		fmt.Fprintln(a.stdout, said)
	}
	return err
}

// checkByEnvoy asks Envoy, if it is installed.
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
