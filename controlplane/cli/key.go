package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
)

// keyCommand makes signing keys. Their public half alone goes to standard output.
func (a *app) keyCommand() *cobra.Command {
	return group("key", "Make the key that signs invocations, or print its public half",
		a.keyVerb("new", "Make a key in FILE, for signing.key_file, and print its public half for the functions' LAMBDA_DISPATCH_PEER_PUBLIC_KEY", controlplane.NewSigningKey),
		a.keyVerb("public", "Print the public half of the key in FILE", controlplane.PublicKey))
}

func (a *app) keyVerb(verb, short string, public func(file string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " FILE", Short: short, Args: exactly("FILE"), DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := public(args[0])
			if err != nil {
				return fmt.Errorf("key: %w", err)
			}
			fmt.Fprintln(a.stdout, text)
			return nil
		},
	}
}
