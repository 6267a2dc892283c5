// Package lambdapeer serves an http.Handler from a Lambda function, many requests at once. It dials out to the relays of Lambda
// Dispatch, and answers the requests that come through them. Outside Lambda the same program serves a plain port.
//
//	func main() {
//		if err := lambdapeer.ListenAndServe(handler); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// Environment variables decide where it serves:
//
//   - AWS_LAMBDA_RUNTIME_API: it is the function's Lambda runtime, started as its bootstrap. Events that are not of Lambda Dispatch
//     become one request each; README.md says how.
//   - LAMBDA_DISPATCH_PEER_RELAY: it registers with a relay by itself; README.md lists the variables for that.
//   - neither: it listens on HOST (default 127.0.0.1) and PORT (default 8080).
package lambdapeer

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/variables"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
)

// lambdaShutdown is how long a drain may take after SIGTERM in Lambda, which kills the process after half a second.
const lambdaShutdown = 250 * time.Millisecond

// sameSignal is how long a repeated signal counts as the same one, because timeout(1) sends each twice, to the process and to its
// group.
const sameSignal = 50 * time.Millisecond

// ListenAndServe serves handler (nil: http.DefaultServeMux) until SIGTERM or SIGINT. Then it lets requests in flight finish, and
// returns nil. A second signal ends the process. In Lambda it also returns nil when the environment is worn, for example by its
// memory; then the process must end. It returns an error if it cannot serve.
func ListenAndServe(handler http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	return (&Peer{Handler: handler}).Run(ctx)
}

// A Peer is ListenAndServe with options. The zero value is ready to use.
type Peer struct {
	Handler http.Handler        // nil: http.DefaultServeMux
	Logger  *slog.Logger        // nil: text on standard error, from level info
	Getenv  func(string) string // nil: os.Getenv

	// OnFreeze is called before Lambda may freeze the environment, when no request is in flight. Use it to finish work that
	// goes on after answers, and to close connections that will not outlive a freeze. OnThaw is called after a freeze, before
	// the next request. Each has at most two seconds, which are billed, and should return when ctx ends. Nil: not called.
	OnFreeze, OnThaw func(ctx context.Context)
}

// Run serves until ctx ends, then lets requests in flight finish, and returns as ListenAndServe does. It handles no signals. The
// context of a request ends when its client leaves.
func (p *Peer) Run(ctx context.Context) error {
	q := p.withDefaults()
	settings, errEvents := lifecycle.ReadEvents(q.Getenv)
	policy, errTrust := trust.Read(q.Getenv)
	workers, errWorkers := lifecycle.ReadWorkers(q.Getenv)
	if err := errors.Join(errEvents, errTrust, errWorkers); err != nil {
		return err
	}
	env := &lifecycle.Environment{
		ID: lifecycle.NewID(), Version: lifecycle.ReadVersion(q.Getenv), LogStream: lifecycle.ReadLogStream(q.Getenv), Handler: q.Handler, Logger: q.Logger, Events: settings,
		Trust: policy, FunctionName: q.Getenv(lifecycle.FunctionNameVar), Workers: workers,
		Wear:  wear.Read(q.Getenv),
		Hooks: lifecycle.Hooks{Freeze: hook(q.OnFreeze), Thaw: hook(q.OnThaw)},
	}
	if address := q.Getenv("AWS_LAMBDA_RUNTIME_API"); address != "" {
		env.Signal, env.ShutdownLimit = true, lambdaShutdown
		api := runtimeapi.New(address)
		defer api.Close()
		return env.RunLambda(ctx, api)
	}
	registrar, err := lifecycle.NewRegistrar(q.Getenv)
	if err != nil {
		return err
	}
	if registrar != nil {
		return env.RunStatic(ctx, registrar)
	}
	return q.listen(ctx, env.ID)
}

func hook(f func(context.Context)) func(context.Context) error {
	if f == nil {
		return nil
	}
	return func(ctx context.Context) error {
		f(ctx)
		return nil
	}
}

func (p *Peer) withDefaults() Peer {
	q := *p
	if q.Handler == nil {
		q.Handler = http.DefaultServeMux
	}
	if q.Logger == nil {
		q.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if q.Getenv == nil {
		q.Getenv = os.Getenv
		for _, warning := range variables.Warnings(os.Environ()) {
			q.Logger.Warn(warning)
		}
	}
	q.Getenv = variables.Reader(q.Getenv)
	return q
}

// InFlight returns how many requests this environment has in flight, including the one with this context. It is 0 for a context
// that is not of a request.
func InFlight(ctx context.Context) int {
	info, ok := instance.InfoFrom(ctx)
	if !ok {
		return 0
	}
	return info.Gate.InFlight()
}

// Environment returns the id of the environment that serves the request. It is random and the same for the life of the process. It
// is empty for a context that is not of a request. Think twice before you show it to clients.
func Environment(ctx context.Context) string {
	info, _ := instance.InfoFrom(ctx)
	return info.Environment
}
