// Package cli is the program lambda-dispatch: its commands, their flags and what they print.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// program is what people type.
const program = "lambda-dispatch"

const about = `lambda-dispatch makes AWS Lambda functions serve Envoy's requests like a pool of warm servers.

The configuration is a YAML file. Its keys can also be set by environment variables, for example %[2]sADMIN_ADDRESS, and by --set.
It works with Envoy %[1]s.

The first SIGTERM or Ctrl-C lets requests in flight finish, a second one ends the program at once. The exit status is 2 after a
mistake in the command line, and 1 after any other failure.`

// Main runs the program with the arguments of its command line, and returns its exit status.
func Main(args []string) int {
	err := run(untilSignal(), args, os.Environ(), os.Stdout, os.Stderr)
	if err == nil {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	fmt.Fprintln(os.Stderr, err)
	return exitCode(err)
}

// A usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is 2 for a mistake in the command line, which no second try mends, and 1 for everything else.
func exitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// An app is what the commands share: the environment, and where they print.
type app struct {
	environ        []string
	stdout, stderr io.Writer
}

// run is the whole program but for signals and the exit status.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	out := &output{to: stdout}
	root := (&app{environ, out, stderr}).root()
	root.SetArgs(args)
	return out.check(root.ExecuteContext(ctx))
}

// root is the program's tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: program, Short: "AWS Lambda functions as a pool of warm servers behind Envoy",
		Long:    fmt.Sprintf(about, envoy.Version, controlplane.EnvPrefix),
		Version: controlplane.Version(),
		Args:    knownCommand, RunE: noCommand,
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true, SilenceUsage: true, // main prints the error alone
	}
	root.SetOut(a.stdout) // before the command completion is made, which keeps what is set
	root.SetErr(a.stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand())
	root.AddGroup(&cobra.Group{ID: serving, Title: "Serve:"}, &cobra.Group{ID: planning, Title: "Plan:"}, &cobra.Group{ID: operating, Title: "Operate what runs:"})
	root.AddCommand(a.devCommand(), a.runCommand(), a.relayCommand(), a.checkCommand(), a.simulateCommand(), a.estimateCommand(),
		a.statusCommand(), a.rolloutCommand(), a.drainCommand(), a.keyCommand(), a.secretCommand(), a.certCommand(), a.versionCommand())
	root.AddCommand(a.parts()...)
	root.InitDefaultCompletionCmd()
	strictCompletion(root)
	return root
}

// strictCompletion makes an unknown shell a mistake, which the library's own command answers with its help.
func strictCompletion(root *cobra.Command) {
	c, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	c.Args, c.RunE = knownCommand, missingCommand
	for _, shell := range c.Commands() {
		shell.Args = exactly()
	}
}

// The groups of commands.
const (
	serving   = "serving"
	planning  = "planning"
	operating = "operating"
)

// called is a command's full name without the program's: "key new".
func called(c *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), program), " ")
}

// flagError says what the value of a flag must be. Flags with a type of our own say it in their own error.
func flagError(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	switch name := called(c); {
	case errors.As(err, &invalid):
	case name == "":
		return usagef("%w", err)
	default:
		return usagef("%s: %w", name, err)
	}
	wanted := map[string]string{
		"int": "a whole number", "float64": "a number", "float64Slice": "numbers with commas between them",
		"duration": "a duration such as 30s or 1m30s", "bool": "true or false",
	}[invalid.GetFlag().Value.Type()]
	if wanted == "" {
		return usagef("%s: --%s: %w", called(c), invalid.GetFlag().Name, invalid.Unwrap())
	}
	return usagef("%s: --%s: must be %s, got %q", called(c), invalid.GetFlag().Name, wanted, invalid.GetValue())
}

func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := strings.TrimPrefix(fmt.Sprintf("%s: unknown command %q", called(c), args[0]), ": ")
	if similar := c.SuggestionsFor(args[0]); args[0] != "" && len(similar) > 0 {
		err += ", did you mean " + strings.Join(similar, " or ") + "?"
	}
	return usagef("%s: %s", err, commandNames(c))
}

func noCommand(c *cobra.Command, _ []string) error {
	c.SetOut(c.ErrOrStderr())
	_ = c.Usage()
	return usagef("no command given: %s", commandNames(c))
}

// missingCommand is what a command does that only has others below it.
func missingCommand(c *cobra.Command, _ []string) error {
	return usagef("%s: a command is missing: %s", called(c), commandNames(c))
}

func commandNames(c *cobra.Command) string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return strings.Join(names, ", ")
}

// helpCommand explains a command that exists, and fails for others.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Explain a command",
		RunE: func(c *cobra.Command, args []string) error {
			asked, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return knownCommand(asked, rest)
			}
			return asked.Help()
		},
	}
}

// exactly wants one argument for each word. Errors call the arguments by these words.
func exactly(words ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		for k, word := range words {
			if k >= len(args) {
				return usagef("%s: no %s given: %s", called(c), word, c.UseLine())
			}
			if args[k] == "" {
				return usagef("%s: %s is empty: is a variable not set?", called(c), word)
			}
		}
		if len(args) > len(words) {
			return usagef("%s: unexpected argument %q: %s", called(c), args[len(words)], c.UseLine())
		}
		return nil
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version; also --version", Args: exactly(), DisableFlagsInUseLine: true,
		Run: func(*cobra.Command, []string) { fmt.Fprintln(a.stdout, controlplane.Version()) },
	}
}
