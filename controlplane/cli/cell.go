package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
)

// group makes a command that only holds others.
func group(name, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: name, GroupID: serving, Short: short, Args: knownCommand, RunE: missingCommand, DisableFlagsInUseLine: true,
	}
	c.AddCommand(below...)
	return c
}

func (a *app) secretCommand() *cobra.Command {
	return group("secret", "Make the secret by which the parts of a cell trust each other", &cobra.Command{
		Use: "new FILE", Short: "Make a secret in FILE, for cell.secret_file on every host", Args: exactly("FILE"), DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := controlplane.NewSecret(args[0]); err != nil {
				return fmt.Errorf("secret: %w", err)
			}
			return nil
		},
	})
}

func (a *app) certCommand() *cobra.Command {
	return group("cert", "Make certificates for hosts that must not hold a cell's secret", a.certPairCommand())
}

const certPairAbout = `Write the files that the host of an Envoy and its relay needs instead of the cell's secret: certificates of both, the key that
signs instances' tokens, and Envoy's bootstrap. FILE is the configuration, with cell.secret_file. Run it again with the same
folder before the certificates expire: the relay and Envoy notice the new ones.`

func (a *app) certPairCommand() *cobra.Command {
	var issue controlplane.PairIssue
	var days int
	c := a.configured(&cobra.Command{Use: "pair --name NAME --out DIR", Short: "Make the certificates of an Envoy and the relay beside it", Long: certPairAbout},
		func(_ context.Context, cfg *controlplane.Config, _ controlplane.Source) error {
			issue.Life = time.Duration(days) * 24 * time.Hour
			if err := controlplane.IssuePair(cfg, issue); err != nil {
				return fmt.Errorf("cert pair: %w", err)
			}
			return nil
		})
	c.PreRunE = func(*cobra.Command, []string) error {
		if issue.Name == "" || issue.Out == "" || days < 1 {
			return usagef("cert pair: --name NAME and --out DIR are needed, and --days of at least 1")
		}
		return nil
	}
	c.Flags().StringVar(&issue.Name, "name", "", "`NAME` of the pair, by which control planes know its relay")
	c.Flags().StringVar(&issue.Out, "out", "", "`DIR` to write to; created if it does not exist")
	c.Flags().StringVar(&issue.At, "at", "", "`DIR` where the files will be on the pair's host; default --out")
	c.Flags().IntVar(&days, "days", 90, "`DAYS` until the certificates expire")
	return c
}
