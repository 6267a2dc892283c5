package cli

import (
	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	lambdalocal "github.com/lambda-dispatch/lambda-dispatch/lambdalocal/program"
	lambdapeer "github.com/lambda-dispatch/lambda-dispatch/lambdapeer/program"
)

// An exitStatus ends the program without a word: what was to be said has been said.
type exitStatus int

func (exitStatus) Error() string { return "" }

// parts are the two other programs of ours, which this one is as well, so that whoever has it can run everything on one
// machine. They are for dev, which starts them, and not in the help.
func (a *app) parts() []*cobra.Command {
	return []*cobra.Command{
		sibling("lambdalocal", func(args []string) int {
			return lambdalocal.Main(args, append([]string{"lambdalocal"}, args...), controlplane.Version())
		}),
		sibling("lambdapeer", func(args []string) int { return lambdapeer.Main(append([]string{"lambdapeer"}, args...)) }),
	}
}

func sibling(name string, main func(args []string) int) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if status := main(args); status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
}
