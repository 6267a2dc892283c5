package program

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
)

const usage = `lambdapeer connects an HTTP server to Lambda Dispatch.

  lambdapeer                      beside a server: as a Lambda extension (in /opt/extensions), or as a sidecar
  lambdapeer -- COMMAND [ARG...]  starts the server too, forwards signals to it and ends with it
  lambdapeer --help | --version

In Lambda (AWS_LAMBDA_RUNTIME_API is set) it takes the function's invocations. Elsewhere it registers with a relay, if
LAMBDA_DISPATCH_PEER_RELAY is set; if not, it only runs COMMAND.

The server, on 127.0.0.1:
  PORT                                    its port (default 8080); LAMBDA_DISPATCH_PEER_PORT overrides it
  LAMBDA_DISPATCH_PEER_PROTOCOL           http1 (default), or h2c: HTTP/2 with prior knowledge, which gRPC needs
  LAMBDA_DISPATCH_PEER_READINESS_PROTOCOL http (default): ready once a GET is answered below 500; tcp: once a
                                          connection is accepted
  LAMBDA_DISPATCH_PEER_READINESS_PATH     the path of the GET (default /)
  LAMBDA_DISPATCH_PEER_READINESS_TIMEOUT  how long an instance waits until the server is ready (default 60s)
  LAMBDA_DISPATCH_PEER_ASYNC_INIT         true (default): a server that is not ready after 9 s, or before that if it does
                                          nothing for 1.5 s, continues to start in its first invocation; false: no
                                          invocation is taken before it is ready
  LAMBDA_DISPATCH_PEER_EVENT_PATH         where events that are neither of Lambda Dispatch nor HTTP requests are POSTed to
                                          (default /events)
  LAMBDA_DISPATCH_PEER_BASE_PATH          removed from the beginning of the path of events that are HTTP requests
  LAMBDA_DISPATCH_PEER_DROP_STAGE         true: the name of an API's stage is removed from such paths (default false)
  LAMBDA_DISPATCH_PEER_EVENT_CONTEXT      true: the app gets an event's request context and Lambda's own, in
                                          X-Amzn-Request-Context and X-Amzn-Lambda-Context (default false)
  LAMBDA_DISPATCH_PEER_INVOKE_MODE        response_stream: answers are streamed to gateways and function URLs of that
                                          mode; buffered (default): they are sent when they are complete
  LAMBDA_DISPATCH_PEER_FREEZE_PATH        POSTed to before Lambda may freeze the environment
  LAMBDA_DISPATCH_PEER_THAW_PATH          POSTed to after a freeze, before the next request
  LAMBDA_DISPATCH_PEER_FREEZE_TIMEOUT     how long each of these may take (default 2s)
The peer:
  LAMBDA_DISPATCH_PEER_LOG_LEVEL          debug, info (default), warn or error; to standard error
Whom it obeys; without the first two, everyone who may invoke the function (SECURITY.md):
  LAMBDA_DISPATCH_PEER_PUBLIC_KEY         public keys of control planes, separated by commas: only what they signed is obeyed
  LAMBDA_DISPATCH_PEER_RELAYS             relays that may be dialled: host, *.example.com, address or 10.0.0.0/16, separated by commas
  LAMBDA_DISPATCH_PEER_RELAY_CA           SHA-256 of CAs, one of which must have signed the relay's certificate
  LAMBDA_DISPATCH_PEER_REQUIRE_TRUST      true: obey nobody if none of these is set (default false)
Outside Lambda:
  LAMBDA_DISPATCH_PEER_RELAY              http://host:port or https://host:port
  LAMBDA_DISPATCH_PEER_FUNCTION           the function's name in the control plane's configuration
  LAMBDA_DISPATCH_PEER_TOKEN              the function's token, or
  LAMBDA_DISPATCH_PEER_TOKEN_FILE         a file that holds it
  LAMBDA_DISPATCH_PEER_CA_FILE            PEM; for https to a relay that the system's roots do not know
`

// Variables of the binary. Those of the registration are lifecycle's.
const (
	apiVar       = "AWS_LAMBDA_RUNTIME_API"
	portVar      = "LAMBDA_DISPATCH_PEER_PORT"
	plainPortVar = "PORT"
	protocolVar  = "LAMBDA_DISPATCH_PEER_PROTOCOL"
	probeVar     = "LAMBDA_DISPATCH_PEER_READINESS_PROTOCOL"
	pathVar      = "LAMBDA_DISPATCH_PEER_READINESS_PATH"
	timeoutVar   = "LAMBDA_DISPATCH_PEER_READINESS_TIMEOUT"
	asyncVar     = "LAMBDA_DISPATCH_PEER_ASYNC_INIT"
	levelVar     = "LAMBDA_DISPATCH_PEER_LOG_LEVEL"
)

// settings are those of arguments and environment.
type settings struct {
	name      string   // of the program file
	command   []string // of the app; empty: lambdapeer does not start it
	api       string   // Lambda's runtime API; empty: not in Lambda
	registrar *lifecycle.Registrar
	id        string
	version   string // of the function's code
	stream    string // the function's log stream; empty for an extension
	port      string
	h2c       bool
	tcp       bool // readiness is probed by TCP
	path      string
	readiness time.Duration
	events    lifecycle.Events
	trust     trust.Policy
	function  string // its name in Lambda
	freeze    freeze
	workers   int         // invocations at once; 0: not on Managed Instances
	wear      *wear.Gauge // of the environment; nil outside Lambda
	async     bool
	initLimit time.Duration // of waiting for the app before the first invocation, with async
	level     slog.Level
}

// A usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// parse reads arguments and environment. The error has a line for each bad variable.
func parse(args []string, getenv func(string) string) (settings, error) {
	s := settings{
		name: args[0], api: getenv(apiVar), id: lifecycle.NewID(), version: lifecycle.ReadVersion(getenv), stream: lifecycle.ReadLogStream(getenv),
		path: getenv(pathVar), initLimit: initPhase, function: getenv(lifecycle.FunctionNameVar), wear: wear.Read(getenv),
	}
	var errs [11]error
	s.command, errs[0] = parseCommand(args[1:])
	s.port, errs[1] = parsePort(getenv)
	s.h2c, errs[2] = choose(protocolVar, getenv(protocolVar), map[string]bool{"": false, "http1": false, "h2c": true})
	s.async, errs[3] = choose(asyncVar, getenv(asyncVar), map[string]bool{"": true, "true": true, "false": false})
	s.readiness, errs[4] = parseDuration(timeoutVar, getenv(timeoutVar), time.Minute)
	s.level, errs[5] = choose(levelVar, getenv(levelVar), map[string]slog.Level{
		"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	})
	s.events, errs[6] = lifecycle.ReadEvents(getenv)
	s.trust, errs[7] = trust.Read(getenv)
	s.tcp, errs[8] = choose(probeVar, getenv(probeVar), map[string]bool{"": false, "http": false, "tcp": true})
	s.freeze, errs[9] = parseFreeze(getenv)
	s.workers, errs[10] = lifecycle.ReadWorkers(getenv)
	err := errors.Join(errs[:]...)
	s.async = s.async && s.workers == 0 // on Managed Instances init may take as long as the app needs
	if s.path == "" {
		s.path = "/"
	}
	if !strings.HasPrefix(s.path, "/") {
		err = errors.Join(err, fmt.Errorf("%s: %q does not begin with /", pathVar, s.path))
	}
	if s.api == "" {
		var bad error
		s.registrar, bad = lifecycle.NewRegistrar(getenv)
		err = errors.Join(err, bad)
	}
	if err == nil && s.api == "" && s.registrar == nil && len(s.command) == 0 {
		err = usageError{fmt.Errorf("nothing to do: neither %s nor %s is set, and there is no command", apiVar, lifecycle.RelayVar)}
	}
	return s, err
}

func parseCommand(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	if args[0] != "--" {
		return nil, usageError{fmt.Errorf("unknown argument %q; see lambdapeer --help", args[0])}
	}
	if len(args) == 1 {
		return nil, usageError{errors.New("no command after --")}
	}
	return args[1:], nil
}

func parsePort(getenv func(string) string) (string, error) {
	name, port := portVar, getenv(portVar)
	if port == "" {
		name, port = plainPortVar, getenv(plainPortVar)
	}
	if port == "" {
		return "8080", nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%s: %q is not a port number", name, port)
	}
	return port, nil
}

func parseDuration(name, text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is not a positive duration such as 30s", name, text)
	}
	return d, nil
}

// choose returns the value that text stands for.
func choose[T any](name, text string, values map[string]T) (T, error) {
	v, ok := values[text]
	if !ok {
		return v, fmt.Errorf("%s: %q is not one of %s", name, text, words(values))
	}
	return v, nil
}

// words lists the keys of values except the empty one.
func words[T any](values map[string]T) string {
	keys := slices.Sorted(maps.Keys(values))
	return strings.Join(slices.DeleteFunc(keys, func(k string) bool { return k == "" }), ", ")
}

// address is where the app listens.
func (s settings) address() string { return net.JoinHostPort("127.0.0.1", s.port) }
