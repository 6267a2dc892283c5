package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// apiTimeout bounds one question to a control plane, which answers from memory.
const apiTimeout = 10 * time.Second

// mostAnswer bounds an answer, in bytes: 10,000 instances need a tenth of it.
const mostAnswer = 64 << 20

// An api is a control plane that runs, as its admin address answers.
type api struct {
	address string // host:port
	json    bool   // what it says is printed for machines
}

// define adds the flags that say which control plane is asked.
func (p *api) define(a *app, c *cobra.Command) *cobra.Command {
	const variable = controlplane.EnvPrefix + "ADMIN_ADDRESS"
	address := config.Default().Admin.Address
	if set := valueOf(a.environ, variable); set != "" {
		address = set
	}
	c.Flags().StringVar(&p.address, "admin", address, "`HOST:PORT` of the control plane's admin address; also by "+variable)
	c.Flags().BoolVar(&p.json, "json", false, "print JSON")
	return c
}

// get asks and decodes the answer.
func (p *api) get(ctx context.Context, path string, into any) error {
	answer, err := p.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s answers %s with something else than a control plane does: %w", p.address, path, err)
	}
	return nil
}

// do returns the body of an answer that is no refusal; body is sent as JSON unless it is nil.
func (p *api) do(ctx context.Context, method, path string, body any) ([]byte, error) {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return nil, usagef("--admin: must be host:port, got %q", p.address)
	}
	if host == "" || host == "0.0.0.0" || host == "::" { // as a control plane listens, nobody dials
		host = "localhost"
	}
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+net.JoinHostPort(host, port)+path, &sent)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Timeout: apiTimeout}).Do(request)
	if err != nil {
		return nil, p.unreachable(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return nil, err
	}
	return answer, refusal(p.address, response, answer)
}

func (p *api) unreachable(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no control plane answers at %s: does it run, and is that its admin.address? --admin HOST:PORT asks another", p.address)
	}
	return err
}

// refusal is the error of an answer that is one, in the control plane's words.
func refusal(address string, response *http.Response, body []byte) error {
	if response.StatusCode < 300 {
		return nil
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		return errors.New(problem.Detail)
	}
	return fmt.Errorf("%s answers %s: is it a control plane's admin address?", address, response.Status)
}

// completeFunctions tells a shell the names of the functions, if a control plane answers.
func (p *api) completeFunctions(*app) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var s shown
		if len(args) > 0 || p.get(c.Context(), "/api/v1/functions", &s) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, f := range s.Functions {
			names = append(names, f.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// valueOf is the value of a variable, empty if it is not set.
func valueOf(environ []string, name string) string {
	for _, entry := range environ {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}
