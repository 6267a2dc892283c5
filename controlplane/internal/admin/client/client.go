// Package client asks a control plane that runs, at its admin address.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// timeout bounds one question to a control plane, which answers from memory.
const timeout = 10 * time.Second

// mostAnswer bounds an answer, in bytes. A list of 10,000 instances takes a tenth of it.
const mostAnswer = 64 << 20

// ErrAddress is the error of an address that is not host:port.
var ErrAddress = errors.New("must be host:port")

// A Refusal is the error of a request that a control plane refuses.
type Refusal struct {
	Status int    // of HTTP
	Detail string // in the control plane's words
}

// Error implements error.
func (r *Refusal) Error() string { return r.Detail }

// A Client is one control plane's admin address.
type Client struct {
	Address string // host:port; an empty host, 0.0.0.0 and :: stand for localhost
	Token   string // empty: none is shown
}

// Get asks, and decodes the answer.
func (c Client) Get(ctx context.Context, path string, into any) error {
	answer, err := c.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s answers %s with something else than a control plane does: %w", c.Address, path, err)
	}
	return nil
}

// Do sends a request, with body as JSON unless it is nil, and returns the answer's body. A refusal is an error in the control plane's
// words.
func (c Client) Do(ctx context.Context, method, path string, body any) ([]byte, error) {
	request, err := c.request(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Timeout: timeout}).Do(request)
	if err != nil {
		return nil, c.unanswered(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return nil, err
	}
	return answer, c.refusal(response, answer)
}

// unanswered turns the error of a request without an answer into one that says what to look at.
func (c Client) unanswered(err error) error {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("no control plane or relay answers at %s (%w): does it run, and is that its admin.address, of a relay relay.admin? --admin HOST:PORT asks another", c.Address, dial.Err)
	case os.IsTimeout(err):
		return fmt.Errorf("%s has not answered in %s: its process hangs, or it is no admin address; a standby, at its own, says who leads now", c.Address, timeout)
	}
	return fmt.Errorf("%s: %w", c.Address, err)
}

func (c Client) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	if !config.IsAddress(c.Address) {
		return nil, fmt.Errorf("%w, got %q", ErrAddress, c.Address)
	}
	host, port, _ := net.SplitHostPort(c.Address)
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
	if err == nil && c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return request, err
}

// refusal returns the error of an answer that is a refusal; nil for any other.
func (c Client) refusal(response *http.Response, body []byte) error {
	if response.StatusCode < 300 {
		return nil
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		return &Refusal{Status: response.StatusCode, Detail: problem.Detail}
	}
	return fmt.Errorf("%s answers %s: is it a control plane's admin address?", c.Address, response.Status)
}
