package cli

import (
	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	lambdalocal "github.com/lambda-dispatch/lambda-dispatch/lambdalocal/program"
	lambdapeer "github.com/lambda-dispatch/lambda-dispatch/lambdapeer/program"
)

// An exitStatus ends the program silently, because the command has printed its error.
type exitStatus int

func (exitStatus) Error() string { return "" }

// parts are the other two programs of the project as hidden commands of this one. So dev can run everything from one binary.
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
