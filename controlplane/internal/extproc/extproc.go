// Package extproc is the ext_proc server that Envoy asks about requests. It holds one stream per request, from before the request
// has a slot until the request has ended, however it ends. Protobuf stops here.
package extproc

import (
	"context"
	"errors"
	"runtime/debug"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// What Envoy's configuration and this server must agree on.
const (
	// FunctionKey is the key in the stream's initial metadata that names the function. The route sets it; a client cannot.
	FunctionKey = "lambda-dispatch-function"
	// BeganKey is the key in the initial metadata that says when Envoy got a request, in microseconds of Unix time.
	BeganKey = "lambda-dispatch-began"
	// ArrivedKey replaces BeganKey for a request that an instance has refused. Only the route of such requests sets it. Their
	// header wire.RefusedHeader names the instance.
	ArrivedKey = "lambda-dispatch-arrived"
	// TellKey asks for what a request waited for, in the metadata below. Its value says for whom: TellLogs, TellClients or
	// TellBoth.
	TellKey     = "lambda-dispatch-tell"
	TellLogs    = "logs"
	TellClients = "clients"
	TellBoth    = "both"
	// TimingKey has the header by which a request asks for Server-Timing, and TimingWordKey the value that grants it.
	TimingKey     = "lambda-dispatch-timing"
	TimingWordKey = "lambda-dispatch-timing-word"
	// MetadataNamespace and EndpointKey are where the reply names the endpoint in the request's dynamic metadata.
	MetadataNamespace = "lambda-dispatch"
	EndpointKey       = "endpoint"
	// InstanceKey, QueueKey (a number, in milliseconds) and StartKey (none, warm or cold) are in the reply to a dispatched
	// request if TellKey asks for them. QueueKey is also in the reply to one that was refused after a wait. ServerTimingKey
	// is the value of the header Server-Timing; a refusal has it, too.
	InstanceKey     = "instance"
	QueueKey        = "queue_ms"
	StartKey        = "start"
	ServerTimingKey = "server_timing"
	// DetailsPrefix begins the response code details of each refusal. By it Envoy tells our answers from its own.
	DetailsPrefix = "lambda_dispatch_"
)

// A Lease is the right to use one slot until it is released.
type Lease interface {
	// Endpoint is the path of the unix socket that the request goes to.
	Endpoint() string
	// Wait is what the request waited for.
	Wait() admission.Wait
	// Release gives the slot back. A second call does nothing.
	Release()
}

// An Acquirer hands out leases of type L.
type Acquirer[L Lease] interface {
	// Acquire waits for a slot of the request's function. It gives up when ctx ends or when its queue does; the error is then
	// an *admission.Error, and no slot is held.
	Acquire(ctx context.Context, r admission.Request) (L, error)
}

// A Witness is told how requests that Envoy traces were admitted. traceparent (W3C Trace Context) names the span that asked. Its
// methods must not block.
type Witness interface {
	Admitted(traceparent string, r admission.Request, w admission.Wait)
	Refused(traceparent string, r admission.Request, e *admission.Error)
}

// A Server implements Envoy's ExternalProcessor service. Everything that a stream holds is released when it ends.
type Server struct {
	extprocv3.UnimplementedExternalProcessorServer
	acquire func(ctx context.Context, r admission.Request) (Lease, error)
	log     logrus.FieldLogger
	replies replies     // for routes that want only the endpoint
	told    toldReplies // for routes that want more, about requests that did not wait
	witness Witness     // nil: none
}

// Witnessed makes the server tell w of each request that is traced. It is called before the first request.
func (s *Server) Witnessed(w Witness) *Server {
	s.witness = w
	return s
}

// New returns a server that asks acquirer about every request.
func New[L Lease](acquirer Acquirer[L], log logrus.FieldLogger) *Server {
	acquire := func(ctx context.Context, r admission.Request) (Lease, error) {
		lease, err := acquirer.Acquire(ctx, r)
		if err != nil {
			return nil, err
		}
		return lease, nil
	}
	return &Server{acquire: acquire, log: log.WithField("component", "extproc")}
}

// Process serves one request, and returns when the request has ended. If a stream ended without an answer, Envoy would let the
// request pass. So every return before the answer is an immediate response or an error status.
func (s *Server) Process(raw extprocv3.ExternalProcessor_ProcessServer) (err error) {
	e := exchange{stream: raw}
	defer func() {
		if cause := recover(); cause != nil {
			err = s.panicked(&e, cause)
		}
	}()
	return s.serve(&e)
}

// serve runs the exchange: first message, admission, answer, end of the request.
func (s *Server) serve(e *exchange) error {
	request, err := e.first()
	if err != nil {
		return s.refuse(e, request, err)
	}
	lease, err := s.acquire(e.stream.Context(), request)
	if err != nil {
		return s.refuse(e, request, err)
	}
	defer lease.Release()
	wishes := wishesOf(e.stream.Context())
	if err := e.dispatch(s.reply(wishes, lease)); err != nil {
		return err
	}
	if wishes.tell && s.witness != nil {
		s.witness.Admitted(routeValue(e.stream.Context(), traceparent), request, lease.Wait())
	}
	return e.untilEnd()
}

// reply is the answer to a dispatched request.
func (s *Server) reply(w wishes, lease Lease) *extprocv3.ProcessingResponse {
	if !w.any() {
		return s.replies.to(lease.Endpoint())
	}
	wait := lease.Wait()
	if wait.Queue == 0 && !w.timing {
		return s.told.to(lease.Endpoint(), wait)
	}
	return dispatched(w.metadata(lease.Endpoint(), wait))
}

// refuse answers the request with what err means for a client.
func (s *Server) refuse(e *exchange, request admission.Request, err error) error {
	var refused *admission.Error
	known := errors.As(err, &refused)
	if ctx := e.stream.Context(); ctx.Err() != nil { // the client has gone
		if known && refused.Cause == admission.Canceled {
			s.tellRefused(e, request, refused)
		}
		return status.FromContextError(ctx.Err()).Err()
	}
	if errors.Is(err, admission.ErrElsewhere) {
		return status.Error(codes.Unavailable, err.Error()) // Envoy asks again
	}
	if !known {
		s.log.WithError(err).Error("request refused for an unexpected reason")
		refused = admission.Reject(admission.Internal)
	}
	if refused.Cause == admission.Malformed {
		s.log.WithError(err).Error("Envoy broke the protocol: is its configuration ours?")
	}
	s.tellRefused(e, request, refused)
	return e.refuse(refused)
}

func (s *Server) tellRefused(e *exchange, request admission.Request, refused *admission.Error) {
	if wishesOf(e.stream.Context()).tell && s.witness != nil {
		s.witness.Refused(routeValue(e.stream.Context(), traceparent), request, refused)
	}
}

// panicked turns a panic into a failed request. The process and the other requests go on.
func (s *Server) panicked(e *exchange, cause any) error {
	s.log.WithFields(logrus.Fields{"panic": cause, "stack": string(debug.Stack())}).Error("request failed by a bug")
	if e.answered {
		return status.Error(codes.Internal, "internal error")
	}
	return e.refuse(admission.Reject(admission.Internal))
}
