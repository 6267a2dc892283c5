package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
)

// keyCommand makes signing keys. Their public half alone goes to standard output.
func (a *app) keyCommand() *cobra.Command {
	key := &cobra.Command{
		Use: "key", GroupID: serving, Short: "Make the key that signs invocations, or print its public half",
		Args: knownVerb, RunE: knownVerbMissing, DisableFlagsInUseLine: true,
	}
	key.AddCommand(
		a.keyVerb("new", "Make a key in FILE, for signing.key_file, and print its public half for the functions' LAMBDA_DISPATCH_PEER_PUBLIC_KEY", controlplane.NewSigningKey),
		a.keyVerb("public", "Print the public half of the key in FILE", controlplane.PublicKey))
	return key
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

func knownVerb(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("key: unknown verb %q: new or public", args[0])
	}
	return nil
}

func knownVerbMissing(*cobra.Command, []string) error {
	return usagef("key: %[1]s key new FILE, or %[1]s key public FILE", program)
}
