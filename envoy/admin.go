package envoy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// pollEvery is how often the helpers ask an Envoy that is still starting.
const pollEvery = 10 * time.Millisecond

// AdminAddress waits until Envoy has opened its admin interface and returns host:port.
func (p *Process) AdminAddress(ctx context.Context) (string, error) {
	for {
		// Envoy writes the file once, after it is bound; a partial read lacks the port.
		text, err := os.ReadFile(p.adminFile())
		if _, _, splitErr := net.SplitHostPort(string(text)); err == nil && splitErr == nil {
			return string(text), nil
		}
		if err := p.pause(ctx, "listening on its admin address"); err != nil {
			return "", err
		}
	}
}

// Ready waits until Envoy says that it is live: every listener that the control plane named is open.
func (p *Process) Ready(ctx context.Context) error {
	for {
		if _, err := p.Admin(ctx, http.MethodGet, "/ready"); err == nil {
			return nil
		}
		if err := p.pause(ctx, "ready"); err != nil {
			return err
		}
	}
}

// Admin asks Envoy's admin interface and returns the body. A status other than 200 is an error that carries it.
func (p *Process) Admin(ctx context.Context, method, path string) ([]byte, error) {
	address, err := p.AdminAddress(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("envoy admin: %w", err)
	}
	// One connection per question: nothing idle is left for the caller to close.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("envoy admin: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, strings.TrimSpace(string(body)))
	}
	if err != nil {
		return nil, fmt.Errorf("envoy admin: %w", err)
	}
	return body, nil
}

// Stats returns the counters and gauges whose names contain the text, by name.
func (p *Process) Stats(ctx context.Context, containing string) (map[string]uint64, error) {
	body, err := p.Admin(ctx, http.MethodGet, "/stats")
	if err != nil {
		return nil, err
	}
	stats := make(map[string]uint64)
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err == nil && strings.Contains(name, containing) {
			stats[name] = n
		}
	}
	return stats, nil
}

// Listeners returns the address, host:port, of each listener that is open, by the listener's name. With port 0 in the
// configuration this is where the port is told.
func (p *Process) Listeners(ctx context.Context) (map[string]string, error) {
	body, err := p.Admin(ctx, http.MethodGet, "/listeners?format=json")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("envoy admin: /listeners: %w", err)
	}
	listeners := make(map[string]string, len(answer.Statuses))
	for _, s := range answer.Statuses {
		listeners[s.Name] = net.JoinHostPort(s.Address.Socket.Address, strconv.Itoa(s.Address.Socket.Port))
	}
	return listeners, nil
}

// pause waits a moment, unless Envoy has ended or the caller has.
func (p *Process) pause(ctx context.Context, waitingFor string) error {
	select {
	case <-p.exited:
		return fmt.Errorf("envoy has ended before it was %s (%v)", waitingFor, p.cmd.ProcessState)
	case <-ctx.Done():
		return fmt.Errorf("waiting for envoy to be %s: %w", waitingFor, context.Cause(ctx))
	case <-time.After(pollEvery):
		return nil
	}
}
