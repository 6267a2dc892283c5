package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin/client"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// maxTokenBytes is how much of a token file is read.
const maxTokenBytes = 4096

// An api is the control plane that a command's flags name.
type api struct {
	client.Client
	tokenFile string
	json      bool // print answers as JSON
}

// define adds the flags that choose the control plane.
func (p *api) define(a *app, c *cobra.Command) *cobra.Command {
	const address, token = controlplane.EnvPrefix + "ADMIN_ADDRESS", controlplane.EnvPrefix + "ADMIN_TOKEN_FILE"
	byDefault := config.Default().Admin.Address
	if set := valueOf(a.environ, address); set != "" {
		byDefault = set
	}
	c.Flags().StringVar(&p.Address, "admin", byDefault, "`HOST:PORT` of the control plane's admin address; also set by "+address)
	c.Flags().StringVar(&p.tokenFile, "token-file", valueOf(a.environ, token), "`FILE` with the token of the admin address; also set by "+token)
	c.Flags().BoolVar(&p.json, "json", false, "print JSON")
	return c
}

func (p *api) get(ctx context.Context, path string, into any) error {
	if err := p.readToken(); err != nil {
		return err
	}
	return mistake(p.Get(ctx, path, into))
}

func (p *api) do(ctx context.Context, method, path string, body any) ([]byte, error) {
	if err := p.readToken(); err != nil {
		return nil, err
	}
	answer, err := p.Do(ctx, method, path, body)
	return answer, mistake(err)
}

func (p *api) readToken() error {
	if p.tokenFile == "" {
		return nil
	}
	file, err := os.Open(p.tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTokenBytes))
	p.Token = strings.TrimSpace(string(text))
	return err
}

// mistake makes usage errors of a malformed --admin, and of values that the control plane refuses. Any other failure is not of the
// command line.
func mistake(err error) error {
	var refused *client.Refusal
	switch {
	case errors.Is(err, client.ErrAddress):
		return usagef("--admin: %w", err)
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		return usageError{err}
	}
	return err
}

// unknown adds to an error which functions there are, if it says that this one is not among them.
func (p *api) unknown(ctx context.Context, err error, function string) error {
	var refused *client.Refusal
	var s shown
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound || p.get(ctx, "/api/v1/functions", &s) != nil || slices.Contains(s.names(), function) {
		return err
	}
	return s.unknown(function)
}

// again writes the flags with which another command asks the same control plane, each with a space before it.
func (p *api) again(c *cobra.Command) (flags string) {
	for _, name := range []string{"admin", "token-file"} {
		if flag := c.Flags().Lookup(name); flag.Changed {
			flags += fmt.Sprintf(" --%s %s", name, flag.Value)
		}
	}
	return flags
}

// completeFunctions completes names of functions in a shell, if a control plane answers.
func (p *api) completeFunctions(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var s shown
	if len(args) > 0 || p.get(c.Context(), "/api/v1/functions", &s) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.names(), cobra.ShellCompDirectiveNoFileComp
}

// valueOf is the value of an environment variable, empty if it is not set.
func valueOf(environ []string, name string) string {
	for _, entry := range environ {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}
