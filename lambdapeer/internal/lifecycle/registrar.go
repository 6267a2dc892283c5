package lifecycle

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/tunnel"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// Variables of a peer that registers by itself.
const (
	RelayVar     = "LAMBDA_DISPATCH_PEER_RELAY"
	FunctionVar  = "LAMBDA_DISPATCH_PEER_FUNCTION"
	TokenVar     = "LAMBDA_DISPATCH_PEER_TOKEN"
	TokenFileVar = "LAMBDA_DISPATCH_PEER_TOKEN_FILE"
	CAFileVar    = "LAMBDA_DISPATCH_PEER_CA_FILE"
)

const (
	// registerLimit is longer than a relay works on a registration: 15 s, of which it may wait 10 for its turn when thousands come.
	// Who leaves before has made that work for nobody, and asks for it again.
	registerLimit = 20 * time.Second
	connectLimit  = 5 * time.Second
	maxErrorText  = 1 << 10
)

// A Registrar asks a relay for an instance to serve. It reads token and CA each time, because their files may be replaced.
type Registrar struct {
	url      string
	function string
	token    latest[string]
	roots    latest[*x509.CertPool]
}

// latest is the last value that read returned without an error.
type latest[T any] struct {
	value   T
	read    func() (T, error)
	trouble string // the present error of read; empty: none
}

func newLatest[T any](read func() (T, error)) (latest[T], error) {
	value, err := read()
	return latest[T]{value: value, read: read}, err
}

// get reads again. If that fails it returns the last value. It logs an error once, and once when the error is gone.
func (l *latest[T]) get(log *slog.Logger) T {
	value, err := l.read()
	switch {
	case err == nil && l.trouble != "":
		log.Info("a file that was invalid is valid again", "was", l.trouble)
		l.trouble = ""
	case err != nil && err.Error() != l.trouble:
		l.trouble = err.Error()
		log.Warn("a file is invalid: its last value stays in use", "error", err)
	}
	if err == nil {
		l.value = value
	}
	return l.value
}

// NewRegistrar reads the variables. It returns nil if RelayVar is not set. The error has a line for each bad variable.
func NewRegistrar(getenv func(string) string) (*Registrar, error) {
	address := getenv(RelayVar)
	if address == "" {
		return nil, nil
	}
	base, errRelay := parseRelay(address)
	function, errFunction := getenv(FunctionVar), error(nil)
	if function == "" {
		errFunction = fmt.Errorf("%s: required with %s", FunctionVar, RelayVar)
	}
	token, errToken := newLatest(func() (string, error) { return readToken(getenv) })
	roots, errCA := newLatest(func() (*x509.CertPool, error) { return readCA(getenv(CAFileVar)) })
	if err := errors.Join(errRelay, errFunction, errToken, errCA); err != nil {
		return nil, err
	}
	return &Registrar{url: base + wire.RegisterPath, function: function, token: token, roots: roots}, nil
}

// client returns a client for one call.
func (r *Registrar) client(log *slog.Logger) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{Timeout: connectLimit, KeepAliveConfig: tunnel.KeepAlive}).DialContext,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: r.roots.get(log)},
			DisableKeepAlives: true,
		},
		Timeout: registerLimit, CheckRedirect: refuseRedirect,
	}
}

// refuseRedirect makes sure that the answer comes from the configured relay.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// secure tells whether the relay authenticates itself.
func (r *Registrar) secure() bool { return strings.HasPrefix(r.url, "https:") }

func parseRelay(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("%s: %q is not http://host:port or https://host:port", RelayVar, address)
	}
	return u.Scheme + "://" + u.Host, nil
}

func readToken(getenv func(string) string) (string, error) {
	token, file := getenv(TokenVar), getenv(TokenFileVar)
	if (token == "") == (file == "") {
		return "", fmt.Errorf("%s: required with %s, either it or %s", TokenVar, RelayVar, TokenFileVar)
	}
	if file == "" {
		return token, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", TokenFileVar, err)
	}
	token = strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%s: %s is empty", TokenFileVar, file)
	}
	return token, nil
}

// readCA returns nil, which means the system's roots, if there is no file.
func readCA(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CAFileVar, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: %s holds no PEM certificate", CAFileVar, file)
	}
	return roots, nil
}

// register posts a registration, and returns the invocation that the relay answers with, if the policy lets us obey it.
func (r *Registrar) register(ctx context.Context, environment string, policy trust.Policy, log *slog.Logger) (wire.Invocation, error) {
	body, err := json.Marshal(wire.Registration{Version: wire.Version, Function: r.function, Environment: environment})
	if err != nil {
		return wire.Invocation{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return wire.Invocation{}, err
	}
	req.Header.Set("Authorization", "Bearer "+r.token.get(log))
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client(log).Do(req)
	if errors.Is(err, io.EOF) && req.URL.Scheme == "http" {
		return wire.Invocation{}, fmt.Errorf("%w: if the relay speaks TLS, %s begins with https", err, RelayVar)
	}
	if err != nil {
		return wire.Invocation{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorText))
		return wire.Invocation{}, &tunnel.RefusedError{Status: res.StatusCode, Text: strings.TrimSpace(string(text))}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, wire.MaxInvocation+1))
	if err != nil {
		return wire.Invocation{}, err
	}
	return policy.Open(data, []string{signature.Static(r.function)}, r.secure(), time.Now())
}
